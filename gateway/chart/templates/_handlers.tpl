{{/* The handlers' pod, alike in all modes, and their rights, alike in both variants. */}}

{{- define "handler.concurrency" -}}
{{- .Values.handlers.concurrency | default (ternary 1 8 (eq .Values.handlers.mode "scaledjob")) -}}
{{- end }}

{{/* Variables that hold in every mode, as JSON. */}}
{{- define "handler.settings" -}}
{{- $settings := include "nats.settings" (dict "root" . "role" "handler") | fromJson -}}
{{- $_ := set $settings "KUBECONFIG" "/etc/everest-bootstrap/kubeconfig" -}}
{{- $_ := set $settings "EVEREST_CREDENTIALS_NAMESPACE" .Values.handlers.credentialsNamespace -}}
{{- $_ := set $settings "EVEREST_RBAC_APPLY_CMD" "everest-rbac-import" -}}
{{- $_ := set $settings "HANDLER_CONCURRENCY" (include "handler.concurrency" .) -}}
{{- $_ := set $settings "SHUTDOWN_GRACE" .Values.handlers.shutdownGrace -}}
{{- $_ := set $settings "READY_FILE" "/tmp/ready" -}}
{{- $_ := set $settings "HOME" "/var/cache/everest-bootstrap" -}}
{{- $_ := set $settings "XDG_CACHE_HOME" "/var/cache/everest-bootstrap" -}}
{{- if eq .Values.handlers.rights "narrow" }}{{ $_ := set $settings "EVEREST_TENANT_ROLE" "everest-bootstrap-tenant" }}{{ end -}}
{{- if .Values.handlers.roles }}{{ $_ := set $settings "EVEREST_ROLES_DIR" "/etc/everest-bootstrap-roles" }}{{ end -}}
{{- if ne .Values.handlers.mode "scaledjob" }}{{ $_ := set $settings "METRICS_PORT" "9090" }}{{ end -}}
{{- toJson $settings }}
{{- end }}

{{/* The port of the metrics, which those that run until idle have none of; empty without. */}}
{{- define "handler.metrics" -}}
{{- get (merge (dict) .Values.handlers.settings (include "handler.settings" . | fromJson)) "METRICS_PORT" -}}
{{- end }}

{{/* What one job at a time takes: 128Mi, and 256Mi for the handler. */}}
{{- define "handler.resources" -}}
{{- $memory := add 256 (mul 128 (include "handler.concurrency" . | int)) -}}
requests: {cpu: {{ ternary "100m" "250m" (eq .Values.handlers.mode "scaledjob") }}, memory: {{ div $memory 2 }}Mi}
limits: {memory: {{ $memory }}Mi}
{{- end }}

{{/* A pod's metadata and spec. */}}
{{- define "handler.template" -}}
{{- $untilIdle := eq .Values.handlers.mode "scaledjob" -}}
metadata:
  labels: {{- include "client.labels" (dict "name" "handler") | nindent 4 }}
  {{- if $untilIdle }}
  annotations:
    cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
    karpenter.sh/do-not-disrupt: "true"
  {{- end }}
spec:
  {{- if $untilIdle }}
  restartPolicy: Never
  {{- end }}
  serviceAccountName: handler
  {{- include "pod" . | nindent 2 }}
  terminationGracePeriodSeconds: {{ add 30 .Values.handlers.shutdownGrace }}  # and time to hand the job back
  {{- with .Values.handlers.pod }}{{ toYaml . | nindent 2 }}{{ end }}
  containers:
  - name: handler
    image: {{ include "image" (dict "root" . "name" .Values.handlers.image) | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    command: [python, -m, handlers{{ if $untilIdle }}, --until-idle, "60"{{ end }}]
    env: {{- include "environment" (dict "ours" (include "handler.settings" . | fromJson) "further" .Values.handlers.settings) | nindent 4 }}
    {{- with include "handler.metrics" . }}
    ports:
    - {name: metrics, containerPort: {{ . }}}
    {{- end }}
    # No liveness probe: a handler that hangs loses its lease and kills its command; a restart mends no cluster.
    readinessProbe:  # the file is refreshed while NATS, the cluster, the tools and the rights are in order
      exec: {command: [sh, -c, 'test -n "$(find "$READY_FILE" -mmin -2)"']}
      periodSeconds: 10
      timeoutSeconds: 5
    resources: {{- .Values.handlers.resources | default (include "handler.resources" . | fromYaml) | toYaml | nindent 6 }}
    securityContext: {{- include "container.security" . | nindent 6 }}
    volumeMounts:
    - {name: kubeconfig, mountPath: /etc/everest-bootstrap, readOnly: true}
    - {name: cluster, mountPath: /run/secrets/cluster, readOnly: true}
    - {name: nats, mountPath: /run/secrets/nats, readOnly: true}
    - {name: cache, mountPath: /var/cache/everest-bootstrap}
    - {name: tmp, mountPath: /tmp}
    {{- if .Values.handlers.roles }}
    - {name: roles, mountPath: /etc/everest-bootstrap-roles, readOnly: true}
    {{- end }}
  volumes:
  - name: kubeconfig
    configMap: {name: handler-kubeconfig}
  - name: cluster
    projected:
      defaultMode: 0440
      sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3600}
      - configMap:
          name: kube-root-ca.crt
          items: [{key: ca.crt, path: ca.crt}]
  - {{ include "nats.volume" (dict "root" . "role" "handler") | indent 4 | trim }}
  - name: cache  # Everest's chart and kubectl's discovery
    {{- if .Values.handlers.cacheClaim }}
    persistentVolumeClaim: {claimName: {{ .Values.handlers.cacheClaim }}}
    {{- else }}
    emptyDir: {sizeLimit: 256Mi}
    {{- end }}
  - name: tmp
    emptyDir: {sizeLimit: 64Mi}
  {{- if .Values.handlers.roles }}
  - name: roles
    configMap: {name: handler-roles}
  {{- end }}
{{- end }}

{{/* One trigger for each consumer. Lag is what waits and what is being worked on, read from every node of NATS, because only a consumer's leader knows it. */}}
{{- define "handler.triggers" -}}
{{- $ours := printf "nats-headless.%s.svc.cluster.local:8222" .Release.Namespace -}}
{{- $endpoint := ternary .Values.nats.external.monitoring $ours (not (empty .Values.nats.external.url)) -}}
{{- $jobs := include "handler.concurrency" . -}}
{{- $queries := "1" -}}{{/* a handler has one slot for queries */}}
{{- range list (list "EVEREST_JOBS" "bootstrap" $jobs) (list "EVEREST_JOBS" "lifecycle" $jobs) (list "EVEREST_QUERIES" "queries" $queries) }}
- type: nats-jetstream
  metadata:
    natsServerMonitoringEndpoint: {{ $endpoint }}
    account: EVEREST
    stream: {{ index . 0 }}
    consumer: {{ index . 1 }}
    lagThreshold: {{ index . 2 | quote }}
    activationLagThreshold: "0"
{{- end }}
{{- end }}

{{/* Where a binding leads: to the handlers. */}}
{{- define "handler.subjects" -}}
[{kind: ServiceAccount, name: handler, namespace: {{ .Release.Namespace }}}]
{{- end }}

{{/*
The rights are the least that the whole workflow needs: without any one verb something breaks, but for `watch` on jobs, without
which it is slower. "hook": held only because Everest's chart grants it to its own hook, and nobody may grant what he does not
hold. First what is needed everywhere, in both variants.
*/}}
{{- define "handler.rules.everywhere" -}}
- {apiGroups: [""], resources: [namespaces], verbs: [get, list, create, patch, update]}  # list: a tenant's claims; update: hook
- {apiGroups: [storage.k8s.io], resources: [storageclasses], verbs: [list]}  # everestctl looks at what cluster it is
{{- end }}

{{/* In each tenant's namespace: flat holds it everywhere, narrow binds it where it has claimed. */}}
{{- define "handler.rules.tenant" -}}
- {apiGroups: [""], resources: [secrets], verbs: [get, list, create, update, delete]}
- {apiGroups: [""], resources: [serviceaccounts], verbs: [get, create, delete]}
- {apiGroups: [""], resources: [resourcequotas, limitranges], verbs: [get, create, patch, delete]}  # delete: offboard
- {apiGroups: [rbac.authorization.k8s.io], resources: [roles, rolebindings], verbs: [get, create, delete]}
- {apiGroups: [batch], resources: [jobs], verbs: [get, list, watch, create, delete]}  # without list everestctl hangs
- {apiGroups: [operators.coreos.com], resources: [operatorgroups], verbs: [get, create, patch, delete]}  # delete: offboard
- {apiGroups: [operators.coreos.com], resources: [subscriptions], verbs: [get, list, watch, create, patch, delete]}  # watch, delete: hook
- {apiGroups: [operators.coreos.com], resources: [installplans], verbs: [get, list, patch, update, watch]}  # hook
- {apiGroups: [operators.coreos.com], resources: [clusterserviceversions], verbs: [get, list, watch, delete]}  # hook
- {apiGroups: [everest.percona.com], resources: [databaseengines], verbs: [get, list]}  # verify_tenant
- {apiGroups: [everest.percona.com], resources: [databaseclusters], verbs: [get, patch]}  # suspend with pause_databases
# The kind offboard: the end of a namespace, and the look at what would be lost with it.
- {apiGroups: [""], resources: [namespaces], verbs: [delete]}
- {apiGroups: [""], resources: [persistentvolumeclaims, pods], verbs: [list]}
- {apiGroups: [apps], resources: [deployments, replicasets, statefulsets, daemonsets], verbs: [list]}
- {apiGroups: [batch], resources: [cronjobs], verbs: [list]}
- {apiGroups: [everest.percona.com], resources: [databaseclusters, databaseclusterbackups], verbs: [list]}
- {apiGroups: [everest.percona.com], resources: [backupstorages, monitoringconfigs], verbs: [list, deletecollection]}
{{- if .Values.handlers.deleteDatabases }}
- {apiGroups: [everest.percona.com], resources: [databaseclusters], verbs: [deletecollection]}
{{- end }}
{{- end }}

{{/* In Everest's own namespace, in both variants. */}}
{{- define "handler.rules.system" -}}
- {apiGroups: [""], resources: [configmaps], resourceNames: [everest-rbac], verbs: [get, update]}
- {apiGroups: [apps], resources: [deployments], resourceNames: [everest-server, percona-everest], verbs: [get]}
{{- end }}
