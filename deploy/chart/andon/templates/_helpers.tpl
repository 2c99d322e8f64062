{{/* Names. */}}
{{- define "andon.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* 50 of 63 characters, so that what is added to it fits too. */}}
{{- define "andon.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "andon.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "andon.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "andon.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (printf "%s-worker" (include "andon.fullname" .)) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Labels. What follows takes a dict of root and component. */}}
{{- define "andon.selector" -}}
app.kubernetes.io/name: {{ include "andon.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "andon.labels" -}}
{{ include "andon.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: andon
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "andon.metadata" -}}
name: {{ include "andon.fullname" .root }}-{{ .component }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "andon.labels" . | nindent 2 }}
{{- end }}

{{/* The image. */}}
{{- define "andon.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{/* What all pods have in common. */}}
{{- define "andon.pod" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  # Secrets are the group's to read.
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  {{- with .root.Values.topologySpreadConstraints }}
  {{- toYaml . | nindent 2 }}
  {{- else }}
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "andon.selector" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
  {{- end }}
{{- end }}

{{/* What all containers have in common: a dict of root, resources and env. */}}
{{- define "andon.container" -}}
image: {{ include "andon.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
startupProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /livez, port: http}
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
resources:
  {{- toYaml .resources | nindent 2 }}
{{- end }}

{{- define "andon.memory" -}}
{{- if dig "requests" "memory" "" . }}
- name: GOMEMLIMIT
  valueFrom: {resourceFieldRef: {resource: requests.memory}}
{{- end }}
{{- end }}

{{/* The broker: a dict of root and nats. */}}
{{- define "andon.nats.env" -}}
{{- if .nats.context.secret }}
- name: NATS_CONTEXT
  value: {{ .nats.context.name }}
- name: XDG_CONFIG_HOME
  value: /etc/andon/xdg
{{- else }}
- name: NATS_URL
  value: {{ .root.Values.nats.url | quote }}
{{- end }}
{{- with .nats.inboxPrefix }}
- name: ANDON_NATS_INBOX_PREFIX
  value: {{ . }}
{{- end }}
{{- if .nats.credsSecret.name }}
- name: NATS_CREDS
  value: /etc/andon/nats/nats.creds
{{- end }}
{{- end }}

{{- define "andon.nats.mounts" -}}
{{- if .nats.context.secret }}
- {name: nats-context, mountPath: /etc/andon/xdg/nats/context, readOnly: true}
{{- end }}
{{- if .nats.credsSecret.name }}
- {name: nats-creds, mountPath: /etc/andon/nats, readOnly: true}
{{- end }}
{{- end }}

{{- define "andon.nats.volumes" -}}
{{- if .nats.context.secret }}
- name: nats-context
  secret: {secretName: {{ .nats.context.secret }}, defaultMode: 0440}
{{- end }}
{{- if .nats.credsSecret.name }}
- name: nats-creds
  secret:
    secretName: {{ .nats.credsSecret.name }}
    defaultMode: 0440
    items: [{key: {{ .nats.credsSecret.key }}, path: nats.creds}]
{{- end }}
{{- end }}

{{/* Ports of the broker, as JSON. */}}
{{- define "andon.nats.ports" -}}
{{- if .Values.networkPolicy.natsPorts }}
{{- .Values.networkPolicy.natsPorts | toJson }}
{{- else }}
{{- $ports := list }}
{{- range splitList "," .Values.nats.url }}
{{- $port := . | regexFind ":[0-9]+$" | trimPrefix ":" }}
{{- $ports = append $ports ($port | default "4222" | int) }}
{{- end }}
{{- $ports | uniq | toJson }}
{{- end }}
{{- end }}

{{/* The file of the workers. What is empty is left out, for it has a meaning of its own there. */}}
{{- define "andon.worker.config" -}}
http-listen: ":8080"
log-level: {{ .Values.logLevel }}
log-format: json
replicas: {{ .Values.nats.streamReplicas }}
{{- if .Values.simulate }}
simulate: true
{{- else }}
endpoint: {{ .Values.endpoint | quote }}
{{- end }}
{{- with .Values.region }}
region: {{ . }}
{{- end }}
{{- with .Values.regions }}
regions:
  {{- toYaml . | nindent 2 }}
{{- end }}
rate: {{ .Values.rate }}
concurrency: {{ .Values.concurrency }}
dry-run: {{ .Values.dryRun }}
{{- $accounts := dict }}
{{- range $name, $account := .Values.accounts }}
{{- if $account.secret }}
{{- $_ := set $accounts $name (dict "credentials-file" (printf "/etc/andon/accounts/%s/credentials" $name)) }}
{{- with $account.profile }}
{{- $_ := set (get $accounts $name) "profile" . }}
{{- end }}
{{- else if $account.cvmRole }}
{{- $_ := set $accounts $name (dict "cvm-role" $account.cvmRole) }}
{{- else }}
{{- $_ := set $accounts $name (dict "tke-oidc" true) }}
{{- end }}
{{- end }}
{{- if and $accounts (not .Values.simulate) }}
accounts:
  {{- toYaml $accounts | nindent 2 }}
{{- end }}
{{- with .Values.policy }}
policy:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The file of the ingress. */}}
{{- define "andon.ingress.config" -}}
{{- $sources := dict }}
{{- range $source, $auth := .Values.ingress.sources }}
{{- $ways := dict }}
{{- with $auth.user }}
{{- $_ := set $ways "user" . }}
{{- end }}
{{- range $way := list "bearer" "password" "hmac" }}
{{- $files := list }}
{{- range $i, $_ := index $auth $way }}
{{- $files = append $files (printf "/etc/andon/senders/%s/%s-%d" $source $way $i) }}
{{- end }}
{{- if $files }}
{{- $_ := set $ways (printf "%s-files" $way) $files }}
{{- end }}
{{- end }}
{{- $_ := set $sources $source $ways }}
{{- end -}}
ingress:
  {{- with .Values.ingress.team }}
  team: {{ . }}
  {{- end }}
  rate: {{ .Values.ingress.rate }}
  sources:
    {{- toYaml $sources | nindent 4 }}
  {{- with .Values.ingress.rules }}
  rules:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* What the schema cannot say. */}}
{{- define "andon.validate" -}}
{{- if not (or .Values.nats.url .Values.nats.context.secret) }}
{{- fail "nats.url is empty, and so is nats.context.secret: name the broker. The chart brings none: one inside of a pod would lose what it has confirmed with that pod's disk, and several would not share requests and quota" }}
{{- end }}
{{- if and .Values.nats.url .Values.nats.context.secret }}
{{- fail "nats.url names a broker, and so does nats.context.secret: leave one out" }}
{{- end }}
{{- if not (or .Values.accounts .Values.simulate) }}
{{- fail "accounts is empty: say where the credentials of the account default are, such as accounts.default.secret.name" }}
{{- end }}
{{- $oidc := false }}
{{- range .Values.accounts }}
{{- $oidc = or $oidc .tkeOidc }}
{{- end }}
{{- if and $oidc .Values.serviceAccount.create (not .Values.tkeOidc.roleArn) }}
{{- fail "an account has tkeOidc, and tkeOidc.roleArn is empty: name the CAM role" }}
{{- end }}
{{- if and .Values.keda.enabled (not .Values.keda.monitoringEndpoint) }}
{{- fail "keda.monitoringEndpoint is empty: name the broker's monitoring, host:port" }}
{{- end }}
{{- if and .Values.keda.enabled (gt (int .Values.keda.minReplicas) (int .Values.keda.maxReplicas)) }}
{{- fail "keda.minReplicas is more than keda.maxReplicas" }}
{{- end }}
{{- if .Values.ingress.enabled }}
{{- if not .Values.ingress.sources }}
{{- fail "ingress.sources is empty: everybody who reaches the ingress could pause groups; say who may post" }}
{{- end }}
{{- if and (not .Values.nats.url) (not .Values.ingress.nats.context.secret) }}
{{- fail "the workers find the broker by a context: give the ingress its own, ingress.nats.context.secret" }}
{{- end }}
{{- if and .Values.ingress.expose.enabled (not .Values.ingress.expose.tlsSecret) (not .Values.ingress.expose.annotations) }}
{{- fail "ingress.expose has neither tlsSecret nor annotations: tokens would be read on the way; say where its certificate is" }}
{{- end }}
{{- else if .Values.ingress.expose.enabled }}
{{- fail "ingress.expose.enabled without ingress.enabled: there is nothing to expose" }}
{{- end }}
{{- end }}
