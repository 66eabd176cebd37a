{{/* What the objects and the pods of all parts have in common. */}}

{{/* Labels of every object. Pods bear none of a version, which would restart them for nothing. */}}
{{- define "labels" -}}
app.kubernetes.io/part-of: everest-bootstrap
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Labels of pods that are let into NATS: (dict "name" ...). */}}
{{- define "client.labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/part-of: everest-bootstrap
everest-bootstrap/nats-client: "true"
{{- end }}

{{/* The start of every pod's spec: restricted, without a token and without the variables of Services. */}}
{{- define "pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false  # a Service named nats would set NATS_PORT
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Of every container. */}}
{{- define "container.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* One of our images: (dict "root" $ "name" ...). */}}
{{- define "image" -}}
{{- $image := .root.Values.image -}}
{{- $name := .name -}}
{{- if $image.registry }}{{ $name = printf "%s/%s" (trimSuffix "/" $image.registry) .name }}{{ end -}}
{{- if contains "@" $name }}{{ $name }}{{ else }}{{ $name }}:{{ $image.tag | default .root.Chart.AppVersion }}{{ end -}}
{{- end }}

{{/* A container's variables: (dict "ours" ... "further" ...); what the values say wins. */}}
{{- define "environment" -}}
{{- $variables := list -}}
{{- range $name, $value := merge (dict) .further .ours -}}
{{- $text := ternary (toJson $value) (toString $value) (kindIs "float64" $value) -}}
{{- $variables = append $variables (dict "name" $name "value" $text) -}}
{{- end -}}
{{- toYaml $variables }}
{{- end }}
