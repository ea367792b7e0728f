#pragma once
// The words of the resources' enumerations, for reading and writing them (json.cc, json_write.cc).
#include <initializer_list>
#include <utility>

#include "operator/api/stream.h"
#include "operator/api/stream_cluster.h"

namespace sluice_operator::api {

inline constexpr std::initializer_list<std::pair<const char*, ScalingMode>> kScalingModes = {
    {"Auto", ScalingMode::kAuto}, {"DryRun", ScalingMode::kDryRun}, {"Frozen", ScalingMode::kFrozen}};

inline constexpr std::initializer_list<std::pair<const char*, ListenerAuthentication>>
    kListenerAuthentications = {{"None", ListenerAuthentication::kNone},
                                {"Scram", ListenerAuthentication::kScram},
                                {"Tls", ListenerAuthentication::kTls}};

inline constexpr std::initializer_list<std::pair<const char*, ListenerType>> kListenerTypes = {
    {"Internal", ListenerType::kInternal},
    {"NodePort", ListenerType::kNodePort},
    {"LoadBalancer", ListenerType::kLoadBalancer},
    {"Ingress", ListenerType::kIngress},
    {"TLSRoute", ListenerType::kTlsRoute}};

inline constexpr std::initializer_list<std::pair<const char*, RebalancingMode>> kRebalancingModes = {
    {"Automatic", RebalancingMode::kAutomatic}, {"Propose", RebalancingMode::kPropose}};

inline constexpr std::initializer_list<std::pair<const char*, DeletionPolicy>> kDeletionPolicies = {
    {"Retain", DeletionPolicy::kRetain}, {"Delete", DeletionPolicy::kDelete}};

}  // namespace sluice_operator::api
