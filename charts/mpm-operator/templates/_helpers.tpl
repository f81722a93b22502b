{{- define "mpm-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "mpm-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "mpm-operator.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "mpm-operator.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "mpm-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "mpm-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* managed-by is Helm: the operator lists what it made itself by `managed-by: mpm-operator`. */}}
{{- define "mpm-operator.labels" -}}
{{ include "mpm-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: mpm-operator
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "mpm-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "mpm-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* An image reference; give the root and the image. */}}
{{- define "mpm-operator.image" -}}
{{- with default .root.Values.image.registry .image.registry }}{{ . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ default .root.Chart.AppVersion .image.tag }}{{ end }}
{{- end }}

{{/* What the operator may do with WebServers and what belongs to them, verb by verb. */}}
{{- define "mpm-operator.rules" -}}
- apiGroups: [mpm-operator.io]
  resources: [webservers]
  verbs: [list, watch]
- apiGroups: [mpm-operator.io]
  resources: [webservers/status]
  verbs: [patch]
# Children: server-side apply is create or patch. Nothing is ever deleted: that is the garbage collector's work.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [services, configmaps, secrets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
# The deletion cost of drained pods.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
# CPU and memory of running pods follow their threads.
- apiGroups: [""]
  resources: [pods/resize]
  verbs: [patch]
# Whether a pod is out of the endpoints.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
# Whether somebody else scales our Deployments.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [get, create, patch]
{{- end }}
