{{/* What the chart finds in the cluster, where there is one: not with `helm template`, --dry-run=client and Argo CD. */}}

{{- define "cluster" -}}
{{- if lookup "v1" "Namespace" "" "kube-system" }}there is one{{ end }}
{{- end }}

{{/* Fails where a Secret would have to be made without a cluster to keep it in: (dict "root" $ "value" ... "keys" ...). */}}
{{- define "secret.needed" -}}
{{- if not (include "cluster" .root) }}
{{- fail (printf "%s must name a Secret of yours, with %s: without a cluster to look into (helm template, --dry-run=client, Argo CD) this chart cannot keep what it made, and every rendering would make another" .value .keys) }}
{{- end }}
{{- end }}

{{/* The data of a Secret that was made before, as JSON: (dict "root" $ "name" ...). */}}
{{- define "secret.kept" -}}
{{- $found := lookup "v1" "Secret" .root.Release.Namespace .name | default dict -}}
{{- toJson ($found.data | default dict) }}
{{- end }}
