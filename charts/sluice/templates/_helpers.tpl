{{/* The name of the operator's objects. */}}
{{- define "sluice.fullname" -}}
{{- default "sluice-operator" .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of objects without a namespace: two releases in one cluster must not share them. */}}
{{- define "sluice.clusterName" -}}
{{- printf "%s-%s" (include "sluice.fullname" .) .Release.Namespace -}}
{{- end -}}

{{/* Of an alert: (list $ "SluiceBrokerDown"). */}}
{{- define "sluice.runbook" -}}
{{- printf "%s#%s" (index . 0).Values.prometheusRule.runbook (lower (index . 1)) | quote -}}
{{- end -}}

{{- define "sluice.serviceAccountName" -}}
{{- default (include "sluice.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "sluice.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ printf "%s@%s" .repository .digest }}
{{- else -}}
{{ printf "%s:%s" .repository .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the operator's pods are selected by: immutable in a Deployment, so it never changes. */}}
{{- define "sluice.selectorLabels" -}}
app.kubernetes.io/name: sluice
app.kubernetes.io/component: operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sluice.labels" -}}
{{ include "sluice.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: sluice
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/*
What the operator may do where StreamClusters live. Read together with the table in the README.
No verb and no resource is a wildcard. Secrets cannot be listed or watched.
*/}}
{{- define "sluice.workRules" -}}
# The custom resources. Streams are also made and removed for clients (CreateTopics, DeleteTopics), the
# ACLs of StreamUsers changed (CreateAcls, DeleteAcls, AlterUserScramCredentials).
- apiGroups: [sluice.dev]
  resources: [streamclusters]
  verbs: [get, list, watch, update, patch]
- apiGroups: [sluice.dev]
  resources: [streamusers]
  verbs: [get, list, watch, update]
- apiGroups: [sluice.dev]
  resources: [streams, shardmaps]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [sluice.dev]
  resources: [streamclusters/status, streams/status, streamusers/status]
  verbs: [get, update, patch]
# Owner references with blockOwnerDeletion need this where the API server enforces them.
- apiGroups: [sluice.dev]
  resources: [streamclusters/finalizers, streams/finalizers, streamusers/finalizers]
  verbs: [update]
# What a StreamCluster becomes.
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [""]
  resources: [services, configmaps, serviceaccounts]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, update, patch, delete]
# Listeners by TLS passthrough: a route for each broker.
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [tlsroutes]
  verbs: [get, create, patch, delete]
# The brokers' certificates, the clients' CA of each StreamCluster, and each StreamUser's credentials. Their
# names come from those resources, so no list of names can be given here; without list and watch, only
# a Secret whose name is known can be read. They go with their resource by its owner reference.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch]
# The StatefulSet makes the pods; the operator deletes one to restart its broker.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, delete]
# Volumes grow. They are removed only by storage.deletionPolicy: Delete, or when they are lost.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, patch, delete]
# Whether one scales a StreamCluster: the operator's own rules for brokers then stand back.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
