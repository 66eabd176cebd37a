{{/* How the parts reach NATS, ours or another. */}}

{{/* Where it is. */}}
{{- define "nats.url" -}}
{{- $nats := .Values.nats -}}
{{- if $nats.external.url }}{{ $nats.external.url }}
{{- else if $nats.tls.enabled }}tls://nats:4222
{{- else }}nats://nats:4222
{{- end }}
{{- end }}

{{/* The Secret with the certificates; empty where no file of it is needed. */}}
{{- define "nats.certificates" -}}
{{- $nats := .Values.nats -}}
{{- if $nats.external.url }}{{ $nats.tls.existingSecret }}
{{- else if $nats.tls.enabled }}{{ $nats.tls.existingSecret | default "nats-tls" }}
{{- end }}
{{- end }}

{{/* The Secret with the passwords of the three roles. */}}
{{- define "nats.passwords" -}}
{{ .Values.nats.existingSecret | default "nats-passwords" }}
{{- end }}

{{/* A role's variables, as JSON: (dict "root" $ "role" ...). */}}
{{- define "nats.settings" -}}
{{- $nats := .root.Values.nats -}}
{{- $settings := dict "NATS_URL" (include "nats.url" .root) -}}
{{- $auth := ternary $nats.external.auth "password" (not (empty $nats.external.url)) -}}
{{- if eq $auth "password" }}{{ $_ := set $settings "NATS_USER" .role }}{{ end -}}
{{- $_ := set $settings (get (dict "password" "NATS_PASSWORD_FILE" "nkey" "NATS_NKEY_FILE" "creds" "NATS_CREDS_FILE") $auth) "/run/secrets/nats/password" -}}
{{- if include "nats.certificates" .root }}{{ $_ := set $settings "NATS_TLS_CA" "/run/secrets/nats/ca.crt" }}{{ end -}}
{{- toJson $settings }}
{{- end }}

{{/* The volume with a role's password and the CA: (dict "root" $ "role" ...). */}}
{{- define "nats.volume" -}}
name: nats
projected:
  defaultMode: 0440
  sources:
  - secret:
      name: {{ include "nats.passwords" .root }}
      items: [{key: {{ .role }}, path: password}]
  {{- with include "nats.certificates" .root }}
  - secret:
      name: {{ . }}
      items: [{key: ca.crt, path: ca.crt}]
  {{- end }}
{{- end }}

{{/* A rule of a NetworkPolicy: to NATS. Another may be anywhere, at the ports that its URL names. */}}
{{- define "nats.egress" -}}
{{- if .Values.nats.external.url -}}
{{- $ports := list -}}
{{- range splitList "," .Values.nats.external.url -}}
{{- $ports = append $ports (regexFind ":[0-9]+/?$" . | trimPrefix ":" | trimSuffix "/" | default "4222") -}}
{{- end -}}
- ports:
  {{- range uniq $ports }}
  - {port: {{ . }}, protocol: TCP}
  {{- end }}
{{- else -}}
- to:
  - podSelector:
      matchLabels: {app.kubernetes.io/name: nats}
  ports: [{port: 4222, protocol: TCP}]
{{- end }}
{{- end }}

{{/* A rule of a NetworkPolicy: names. */}}
{{- define "names.egress" -}}
- ports:
  - {port: 53, protocol: UDP}
  - {port: 53, protocol: TCP}
{{- end }}

{{/* Below the servers' limit, so that they collect garbage rather than be killed; empty where none can be read. */}}
{{- define "nats.memory" -}}
{{- $limit := dig "limits" "memory" "" .Values.nats.resources | toString -}}
{{- $unit := regexFind "[A-Za-z]*$" $limit -}}
{{- $mebibytes := get (dict "Mi" 1.0 "Gi" 1024.0 "Ti" 1048576.0 "M" 0.9536 "G" 953.6) $unit -}}
{{- if $mebibytes }}{{ trimSuffix $unit $limit | float64 | mulf $mebibytes 0.88 | printf "%.0fMiB" }}{{ end -}}
{{- end }}

{{/* The servers' files, but for the publishers, as the data of a ConfigMap. */}}
{{- define "nats.files" -}}
{{- $tls := .Values.nats.tls.enabled -}}
{{- $cluster := eq (int .Values.nats.nodes) 3 -}}
nats.conf: |
  # By name, not by address: certificates name hosts, and KEDA asks each node for its part.
  client_advertise: $NATS_CLIENT_ADVERTISE
  {{- if and $cluster $tls }}
  include cluster-secured.conf
  {{- else if $cluster }}
  # Between the nodes there is no TLS: the NetworkPolicy keeps others out.
  include cluster.conf
  include accounts.conf
  {{- else }}
  include server.conf
  include accounts.conf
  {{- if $tls }}
  include tls.conf
  {{- end }}
  {{- end }}
{{- range $path, $_ := .Files.Glob "files/nats/*.conf" }}
{{ base $path }}: | {{- $.Files.Get $path | trim | nindent 2 }}
{{- end }}
{{- end }}
