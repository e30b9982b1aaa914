{{- define "heatstream.labels" -}}
app.kubernetes.io/name: heatstream
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "heatstream.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* What every role's file begins with. */}}
{{- define "heatstream.common" -}}
[log]
engine = "kafka"
partitions = {{ .Values.kafka.partitions }}
retention = {{ .Values.kafka.retention | quote }}

[log.kafka]
brokers = {{ .Values.kafka.brokers | quote }}
compression = "lz4"
{{- with .Values.kafka.librdkafka }}

[log.kafka.librdkafka]
{{- range $key, $value := . }}
{{ $key | quote }} = {{ $value | toString | quote }}
{{- end }}
{{- end }}

[admin]
# A network policy keeps all but Prometheus away.
address = "0.0.0.0:9464"
any_address = true

[logging]
format = "json"
filter = {{ .Values.logging.filter | quote }}
{{- if or .Values.plant.configMapName .Values.plant.claimName }}

[plant]
directory = "/etc/heatstream/plant"
{{- end }}
{{- end }}

{{/* A role's pod: root, role, name, resources, and whether it has folders of its own. */}}
{{- define "heatstream.pod" -}}
{{- $root := .root -}}
metadata:
  labels:
    {{- include "heatstream.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .name }}
    heatstream/role: {{ .role }}
  annotations:
    # Another configuration is another pod.
    checksum/config: {{ .config | sha256sum }}
    {{- with $root.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ $root.Release.Name }}-heatstream
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 60
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: { type: RuntimeDefault }
  containers:
    - name: {{ .role }}
      image: {{ include "heatstream.image" $root }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: [{{ .role }}, --config, /etc/heatstream/role/role.toml]
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: { drop: [ALL] }
      ports:
        - { name: admin, containerPort: 9464 }
        {{- range .ports }}
        - { name: {{ .name }}, containerPort: {{ .port }} }
        {{- end }}
      # Alive: it answers. Ready: it can do its work; a log that does not answer makes it unready and starts nothing anew.
      startupProbe:
        httpGet: { path: /livez, port: admin }
        periodSeconds: 2
        failureThreshold: 150
      livenessProbe:
        httpGet: { path: /livez, port: admin }
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: { path: /readyz, port: admin }
        periodSeconds: 5
        timeoutSeconds: 5
      resources:
        {{- toYaml .resources | nindent 8 }}
      volumeMounts:
        - { name: config, mountPath: /etc/heatstream/role, readOnly: true }
        - { name: secrets, mountPath: /etc/heatstream/secrets, readOnly: true }
        - { name: tmp, mountPath: /tmp }
        {{- if or $root.Values.plant.configMapName $root.Values.plant.claimName }}
        - { name: plant, mountPath: /etc/heatstream/plant, readOnly: true }
        {{- end }}
        {{- if .buffer }}
        - { name: data, mountPath: /var/lib/heatstream }
        {{- end }}
        {{- if .archive }}
        - { name: archive, mountPath: /var/lib/heatstream/archive, readOnly: {{ .archiveReadOnly }} }
        {{- end }}
  volumes:
    - name: config
      configMap: { name: {{ .name }} }
    - name: secrets
      secret: { secretName: {{ $root.Values.secretName }}, optional: true, defaultMode: 0440 }
    - name: tmp
      emptyDir: { sizeLimit: 64Mi }
    {{- if $root.Values.plant.configMapName }}
    - name: plant
      configMap: { name: {{ $root.Values.plant.configMapName }} }
    {{- else if $root.Values.plant.claimName }}
    - name: plant
      persistentVolumeClaim: { claimName: {{ $root.Values.plant.claimName }}, readOnly: true }
    {{- end }}
    {{- if .archive }}
    - name: archive
      persistentVolumeClaim: { claimName: {{ $root.Values.archive.existingClaim | default (printf "%s-heatstream-archive" $root.Release.Name) }} }
    {{- end }}
  {{- with $root.Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $root.Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $root.Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          app.kubernetes.io/instance: {{ $root.Release.Name }}
          app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "heatstream.config.archive" -}}
[archive]
location = "/var/lib/heatstream/archive"
{{ .Values.archiver.config | trim }}
{{- end }}

{{- define "heatstream.config.exporter" -}}
[exporter]
{{ .Values.exporter.config | trim }}
{{- with .Values.exporter.alertmanager }}
{{- if .urls }}

[exporter.alertmanager]
urls = {{ .urls | toJson }}
lowest_priority = {{ .lowestPriority | quote }}
incident_url = {{ printf "%s/incidents/" ($.Values.consoleUrl | trimSuffix "/") | quote }}
runbook_url = {{ printf "%s/runbooks/HeatIncident" ($.Values.consoleUrl | trimSuffix "/") | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "heatstream.config.gateway" -}}
[gateway]
id = {{ .id | quote }}
{{ .config | trim }}

[gateway.buffer]
directory = "/var/lib/heatstream/gateway-buffer"
bytes_max = {{ .buffer.bytesMax | int64 }}
age_max = {{ .buffer.ageMax | quote }}
{{- end }}
