// The public face: everything is in Core.
#include "broker/coordination/coordinator.h"

#include "broker/coordination/core.h"

namespace broker::coordination {

Coordinator::Coordinator(CoordinatorOptions options, env::Clock& clock, env::Random& random,
                         MetadataStore& store, Outbox& outbox, Observer* observer)
    : core_(std::make_unique<Core>(std::move(options), clock, random, store, outbox, observer)) {
  store.set_listener(this);
}
Coordinator::~Coordinator() = default;

void Coordinator::start() {
  core_->start();
}
bool Coordinator::loaded() const {
  return core_->loaded();
}
const Status& Coordinator::load_error() const {
  return core_->load_error();
}
void Coordinator::on_connect(SessionId session) {
  core_->on_connect(session);
}
void Coordinator::on_message(SessionId session, const sluice::v1::BrokerMessage& message) {
  core_->on_message(session, message);
}
void Coordinator::on_disconnect(SessionId session) {
  core_->on_disconnect(session);
}
int64_t Coordinator::tick() {
  return core_->tick();
}
void Coordinator::set_wake_callback(std::function<void()> wake) {
  core_->set_wake_callback(std::move(wake));
}
void Coordinator::stream_declared(const StreamDeclaration& declaration) {
  core_->stream_declared(declaration);
}
void Coordinator::stream_withdrawn(const std::string& name, bool keep_data) {
  core_->stream_withdrawn(name, keep_data);
}
void Coordinator::set_defaults(const StreamDefaults& defaults) {
  core_->set_defaults(defaults);
}
void Coordinator::set_security(const sluice::v1::Security& security) {
  core_->set_security(security);
}
const std::optional<sluice::v1::Security>& Coordinator::security() const {
  return core_->security();
}
void Coordinator::set_expected_brokers(const std::vector<ExpectedBroker>& brokers) {
  core_->set_expected_brokers(brokers);
}
void Coordinator::set_draining(int32_t broker, bool draining) {
  core_->set_draining(broker, draining);
}
DrainProgress Coordinator::drain_progress(int32_t broker) const {
  return core_->drain_progress(broker);
}
std::string Coordinator::stop_risk(const std::set<int32_t>& brokers) {
  return core_->stop_risk(brokers);
}
std::string Coordinator::removal_risk(const std::set<int32_t>& brokers) const {
  return core_->removal_risk(brokers);
}
void Coordinator::set_moves_paused(bool paused) {
  core_->set_moves_paused(paused);
}
void Coordinator::set_balancing(const Balancing& balancing) {
  core_->set_balancing(balancing);
}
const std::optional<std::vector<PlannedMove>>& Coordinator::proposed_moves() const {
  return core_->proposed_moves();
}
std::optional<int> Coordinator::approved_moves_left() const {
  return core_->approved_moves_left();
}
int64_t Coordinator::bytes_to_move() const {
  return core_->bytes_to_move();
}
bool Coordinator::stream_waits(const std::string& stream) const {
  return core_->stream_waits(stream);
}
Status Coordinator::forget_broker(int32_t broker) {
  return core_->forget_broker(broker);
}
void Coordinator::admin(const sluice::v1::AdminRequest& request, AdminDone done) {
  core_->admin(request, std::move(done));
  core_->settle();
}
const std::string& Coordinator::cluster_id() const {
  return core_->cluster_id();
}
std::vector<const ShardMap*> Coordinator::maps() const {
  return core_->maps();
}
const ShardMap* Coordinator::map_of(const std::string& stream) const {
  return core_->map_of(stream);
}
std::string Coordinator::stream_problem(const std::string& stream) const {
  return core_->stream_problem(stream);
}
std::vector<BrokerView> Coordinator::brokers() const {
  return core_->broker_views();
}
std::vector<MoveView> Coordinator::moves() const {
  return core_->move_views();
}
int Coordinator::planned_moves() const {
  return core_->planned_moves();
}
void Coordinator::set_prices(const sluice::v1::Prices* prices) {
  core_->set_prices(prices);
}
const sluice::v1::Prices* Coordinator::prices() const {
  return core_->prices();
}
int64_t Coordinator::metered_ms(const std::string& stream) const {
  return core_->metered_ms(stream);
}
void Coordinator::set_metering_interval(int64_t ms) {
  core_->set_metering_interval(ms);
}
sluice::v1::Bill Coordinator::bill(int64_t now_ms) const {
  return core_->bill(now_ms);
}
int Coordinator::sessions() const {
  return core_->session_count();
}
void Coordinator::set_change_callback(std::function<void()> changed) {
  core_->set_change_callback(std::move(changed));
}

}  // namespace broker::coordination
