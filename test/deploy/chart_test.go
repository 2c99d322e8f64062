package deploy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/seed-a7c21902/andon/test/harness"
)

const (
	chartDir   = "../../deploy/chart/andon"
	chartRules = "../../deploy/prometheus/andon.rules.yaml"
	// oldestKubernetes is the one of Chart.yaml's kubeVersion. A helm that was installed by
	// go install takes itself for a much older one.
	oldestKubernetes = "1.30.0"
)

// helm runs it, away from the configuration of whoever runs the test.
func helm(t testing.TB, args ...string) (stdout string, err error) {
	t.Helper()
	program, err := harness.Tool{Package: "helm.sh/helm/v3/cmd/helm", Version: "v3.22.0"}.Installed(t)
	if err != nil {
		t.Skipf("helm cannot be had here: %v", err)
	}
	c := exec.CommandContext(t.Context(), program, args...)
	home := t.TempDir()
	c.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
	var out, said bytes.Buffer
	c.Stdout, c.Stderr = &out, &said
	if err := c.Run(); err != nil {
		return out.String(), fmt.Errorf("helm %s: %w\n%s%s", args[0], err, &out, &said)
	}
	return out.String(), nil
}

// rendered is what the chart makes of values.
func rendered(t testing.TB, chart, values string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	write(t, file, values)
	return helm(t, "template", "shop", chart, "--namespace", "brakes", "--kube-version", oldestKubernetes, "--values", file)
}

// leastValues are those that README.md begins with, moreValues those that it names for
// production, with all that can be switched on.
const (
	leastValues = `
nats: {url: "nats://nats.nats.svc:4222"}
accounts: {default: {secret: {name: andon-cam}}}
region: ap-guangzhou
`
	moreValues = `
nats:
  url: nats://a.nats.svc:4222, tls://b.nats.svc:4333
  streamReplicas: 3
  credsSecret: {name: andon-nats-worker}
  inboxPrefix: _INBOX_worker
accounts:
  default: {tkeOidc: true}
  payments: {secret: {name: cam, key: ini}, profile: pay}
  edge: {cvmRole: andon}
tkeOidc: {roleArn: "qcs::cam::uin/100000000001:roleName/andon"}
policy:
  max-groups: 200
  rules:
    "*": {accounts: [default, payments], regions: [ap-guangzhou], max-targets: 100}
    team-a: {groups: ["team-a-*"]}
endpoint: https://as.{region}.tencentcloudapi.com
region: ap-guangzhou
regions: [ap-guangzhou, ap-singapore]
rate: 19.5
dryRun: true
logLevel: debug
extraEnv: [{name: OTEL_EXPORTER_OTLP_ENDPOINT, value: "http://127.0.0.1:4318"}]
image: {digest: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
imagePullSecrets: [{name: registry}]
podAnnotations: {team: sre}
podLabels: {team: sre}
priorityClassName: system-cluster-critical
nodeSelector: {disk: ssd}
tolerations: [{key: dedicated, operator: Exists}]
affinity: {nodeAffinity: {}}
networkPolicy:
  enabled: true
  metricsFrom: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]
  webhooksFrom: [{ipBlock: {cidr: 10.0.0.0/8}}]
  natsTo: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: nats}}}]
  apiTo: [{ipBlock: {cidr: 0.0.0.0/0}}]
  extraEgress: [{ports: [{port: 4318}]}]
serviceMonitor: {enabled: true, labels: {release: prometheus}}
prometheusRule: {enabled: true, labels: {release: prometheus}}
keda: {enabled: true, monitoringEndpoint: "nats.nats.svc:8222"}
ingress:
  enabled: true
  team: sre
  sources:
    alertmanager: {bearer: [{name: senders, key: am}, {name: senders, key: am.new}]}
    grafana: {hmac: [{name: senders, key: grafana}]}
    tcop: {user: tcop, password: [{name: senders, key: tcop}]}
    pagerduty: {hmac: [{name: senders, key: pagerduty}]}
    cloudevents: {bearer: [{name: senders, key: bus}]}
    request: {bearer: [{name: senders, key: ci}]}
  rules:
    - {source: alertmanager, match: {severity: critical, job: "shop-*"}, region: "{{.Labels.region}}", group: "{{.Labels.asg}}", urgent: true, reason: "{{.Name}}"}
    - {source: tcop, match: {policy_id: policy-shopweb1}, region: ap-guangzhou, group: asg-shopweb1}
  nats: {credsSecret: {name: andon-nats-ingress}, inboxPrefix: _INBOX_ingress}
  expose: {enabled: true, className: nginx, host: andon.example.com, tlsSecret: andon-tls, annotations: {a: b}}
`
	// contextValues find the broker by a context, on a machine of the cloud.
	contextValues = `
nats: {context: {secret: andon-nats-context}, inboxPrefix: _INBOX_worker}
accounts: {default: {cvmRole: andon}}
serviceAccount: {create: false}
ingress:
  enabled: true
  sources: {request: {bearer: [{name: senders, key: ci}]}}
  nats: {context: {secret: andon-nats-context, name: web}}
`
	simulatedValues = `
nats: {url: "nats://nats.nats.svc:4222"}
simulate: true
resources: {requests: null}
podDisruptionBudget: {maxUnavailable: 50%}
`
)

var chartValues = map[string]string{"least": leastValues, "more": moreValues, "context": contextValues, "simulated": simulatedValues}

// The kinds of Prometheus Operator and KEDA, as far as the chart uses them.
type (
	serviceMonitor struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
		Spec              struct {
			Selector  metav1.LabelSelector `json:"selector"`
			Endpoints []struct {
				Port          string `json:"port"`
				Interval      string `json:"interval"`
				ScrapeTimeout string `json:"scrapeTimeout"`
				HonorLabels   bool   `json:"honorLabels"`
			} `json:"endpoints"`
		} `json:"spec"`
	}
	prometheusRule struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
		Spec              struct {
			Groups []struct {
				Name  string `json:"name"`
				Rules []struct {
					Alert         string            `json:"alert"`
					Expr          string            `json:"expr"`
					For           string            `json:"for"`
					KeepFiringFor string            `json:"keep_firing_for"`
					Labels        map[string]string `json:"labels"`
					Annotations   map[string]string `json:"annotations"`
				} `json:"rules"`
			} `json:"groups"`
		} `json:"spec"`
	}
	scaledObject struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
		Spec              struct {
			ScaleTargetRef struct {
				Name string `json:"name"`
			} `json:"scaleTargetRef"`
			MinReplicaCount int32 `json:"minReplicaCount"`
			MaxReplicaCount int32 `json:"maxReplicaCount"`
			PollingInterval int32 `json:"pollingInterval"`
			CooldownPeriod  int32 `json:"cooldownPeriod"`
			Triggers        []struct {
				Type     string            `json:"type"`
				Metadata map[string]string `json:"metadata"` // numbers are refused by KEDA, and here
			} `json:"triggers"`
		} `json:"spec"`
	}
)

// manifest is what a cluster is given, by kind and name.
type manifest struct {
	kinds           map[string]bool
	deployments     map[string]*appsv1.Deployment
	configs         map[string]*corev1.ConfigMap
	services        map[string]*corev1.Service
	accounts        map[string]*corev1.ServiceAccount
	budgets         map[string]*policyv1.PodDisruptionBudget
	policies        map[string]*networkingv1.NetworkPolicy
	ingresses       map[string]*networkingv1.Ingress
	serviceMonitors map[string]*serviceMonitor
	prometheusRules map[string]*prometheusRule
	scaledObjects   map[string]*scaledObject
}

// documents are those of a file of several.
func documents(text string) (all []string) {
	for doc := range strings.SplitSeq("\n"+text, "\n---") {
		if strings.TrimSpace(doc) != "" {
			all = append(all, doc)
		}
	}
	return all
}

// parseManifest reads each document, strictly.
func parseManifest(t testing.TB, text string) *manifest {
	t.Helper()
	m := &manifest{kinds: make(map[string]bool)}
	for _, doc := range documents(text) {
		var of metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(doc), &of); err != nil {
			t.Fatalf("%v:\n%s", err, doc)
		}
		kind := of.APIVersion + " " + of.Kind
		m.kinds[of.Kind] = true
		var err error
		switch kind {
		case "apps/v1 Deployment":
			err = add(&m.deployments, doc)
		case "v1 ConfigMap":
			err = add(&m.configs, doc)
		case "v1 Service":
			err = add(&m.services, doc)
		case "v1 ServiceAccount":
			err = add(&m.accounts, doc)
		case "policy/v1 PodDisruptionBudget":
			err = add(&m.budgets, doc)
		case "networking.k8s.io/v1 NetworkPolicy":
			err = add(&m.policies, doc)
		case "networking.k8s.io/v1 Ingress":
			err = add(&m.ingresses, doc)
		case "monitoring.coreos.com/v1 ServiceMonitor":
			err = add(&m.serviceMonitors, doc)
		case "monitoring.coreos.com/v1 PrometheusRule":
			err = add(&m.prometheusRules, doc)
		case "keda.sh/v1alpha1 ScaledObject":
			err = add(&m.scaledObjects, doc)
		default:
			err = errors.New("nobody knows this kind")
		}
		if err != nil {
			t.Fatalf("%s: %v:\n%s", kind, err, doc)
		}
	}
	return m
}

// decodeStrictly reads as an API server does that validates fields: no field that nobody
// knows, in letters as they are, and no number for a text.
func decodeStrictly(text []byte, into any) error {
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	faults, err := json.UnmarshalStrict(asJSON, into)
	return errors.Join(append(faults, err)...)
}

func add[T any, P interface {
	*T
	metav1.ObjectMetaAccessor
}](to *map[string]P, doc string) error {
	var object P = new(T)
	if err := decodeStrictly([]byte(doc), object); err != nil {
		return err
	}
	meta := object.GetObjectMeta()
	if meta.GetNamespace() != "brakes" {
		return fmt.Errorf("it is for the namespace %q", meta.GetNamespace())
	}
	if (*to)[meta.GetName()] != nil {
		return errors.New("it stands twice")
	}
	if *to == nil {
		*to = make(map[string]P)
	}
	(*to)[meta.GetName()] = object
	return nil
}

func TestChartIsAsHelmWantsIt(t *testing.T) {
	if _, err := helm(t, "lint", "--strict", "--kube-version", oldestKubernetes, chartDir); err != nil {
		t.Error(err)
	}
	for name, values := range chartValues {
		file := filepath.Join(t.TempDir(), "values.yaml")
		write(t, file, values)
		if _, err := helm(t, "lint", "--strict", "--kube-version", oldestKubernetes, chartDir, "--values", file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestChartOfTheLeastValues(t *testing.T) {
	out, err := rendered(t, chartDir, leastValues)
	if err != nil {
		t.Fatal(err)
	}
	harness.Golden(t, "testdata/chart/least.yaml", out)
}

// switches are the values that are on or off, each with the kinds that it brings.
var switches = []struct {
	value string
	kinds []string
}{
	{"networkPolicy.enabled", []string{"NetworkPolicy"}},
	{"podDisruptionBudget.enabled", []string{"PodDisruptionBudget"}},
	{"serviceMonitor.enabled", []string{"ServiceMonitor"}},
	{"prometheusRule.enabled", []string{"PrometheusRule"}},
	{"keda.enabled", []string{"ScaledObject"}},
	{"ingress.enabled", nil},
	{"ingress.expose.enabled", []string{"Ingress"}},
}

func TestChartInEachCombination(t *testing.T) {
	file := filepath.Join(t.TempDir(), "values.yaml")
	write(t, file, moreValues)
	always := []string{"Deployment", "ConfigMap", "Service", "ServiceAccount"}
	for bits := range 1 << len(switches) {
		args := []string{"template", "shop", chartDir, "--namespace", "brakes", "--kube-version", oldestKubernetes, "--values", file}
		want := make(map[string]bool)
		for _, kind := range always {
			want[kind] = true
		}
		on := make(map[string]bool)
		for i, s := range switches {
			on[s.value] = bits&(1<<i) != 0
			args = append(args, "--set", fmt.Sprintf("%s=%v", s.value, on[s.value]))
			for _, kind := range s.kinds {
				if on[s.value] {
					want[kind] = true
				}
			}
		}
		if on["ingress.expose.enabled"] && !on["ingress.enabled"] {
			continue // refused, which TestChartRefuses looks at
		}
		out, err := helm(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		m := parseManifest(t, out)
		if diff := cmp.Diff(want, m.kinds); diff != "" {
			t.Errorf("%v: other kinds than wanted (-want +got):\n%s", on, diff)
		}
		if got := len(m.deployments) == 2; got != on["ingress.enabled"] {
			t.Errorf("%v: %d deployments", on, len(m.deployments))
		}
		coherent(t, m)
		if t.Failed() {
			t.Fatalf("with %v", on)
		}
	}
}

func TestChartOfAllValues(t *testing.T) {
	for name, values := range chartValues {
		t.Run(name, func(t *testing.T) {
			out, err := rendered(t, chartDir, values)
			if err != nil {
				t.Fatal(err)
			}
			coherent(t, parseManifest(t, out))
		})
	}
}

// coherent checks that the objects fit each other: a name or label that is misspelt in
// one of them is no error for a cluster, and nothing would happen.
func coherent(t *testing.T, m *manifest) {
	t.Helper()
	for name, d := range m.deployments {
		checkDeployment(t, m, name, d)
	}
	// selected is the one deployment whose pods a selector finds.
	selected := func(what string, selector map[string]string) *appsv1.Deployment {
		t.Helper()
		var found []*appsv1.Deployment
		for _, d := range m.deployments {
			if labels.SelectorFromSet(selector).Matches(labels.Set(d.Spec.Template.Labels)) {
				found = append(found, d)
			}
		}
		if len(found) != 1 || len(selector) == 0 {
			t.Errorf("%s selects the pods of %d deployments", what, len(found))
			return &appsv1.Deployment{}
		}
		return found[0]
	}
	for name, b := range m.budgets {
		selected(name, b.Spec.Selector.MatchLabels)
	}
	for name, p := range m.policies {
		ports := portNames(selected(name, p.Spec.PodSelector.MatchLabels))
		for _, rule := range p.Spec.Ingress {
			for _, port := range rule.Ports {
				if !ports[port.Port.StrVal] {
					t.Errorf("the policy %s lets in at %q; there are %v", name, port.Port.StrVal, ports)
				}
				delete(ports, port.Port.StrVal)
			}
		}
		if len(ports) > 0 {
			t.Errorf("the policy %s lets nobody in at %v", name, ports)
		}
	}
	for name, s := range m.services {
		ports := portNames(selected(name, s.Spec.Selector))
		for _, port := range s.Spec.Ports {
			if !ports[port.TargetPort.StrVal] {
				t.Errorf("the service %s leads to the port %q; there are %v", name, port.TargetPort.StrVal, ports)
			}
		}
	}
	for name, i := range m.ingresses {
		for _, rule := range i.Spec.Rules {
			for _, path := range rule.HTTP.Paths {
				to := path.Backend.Service
				if s := m.services[to.Name]; s == nil || !slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == to.Port.Name }) {
					t.Errorf("the ingress %s leads to %s of %s, which is not there", name, to.Port.Name, to.Name)
				}
			}
		}
	}
	for name, s := range m.serviceMonitors {
		found := 0
		for _, service := range m.services {
			if labels.SelectorFromSet(s.Spec.Selector.MatchLabels).Matches(labels.Set(service.Labels)) && service.Spec.Ports[0].Name == s.Spec.Endpoints[0].Port {
				found++
			}
		}
		if found != len(m.deployments) {
			t.Errorf("%s finds %d services of %d deployments", name, found, len(m.deployments))
		}
		if !s.Spec.Endpoints[0].HonorLabels {
			t.Errorf("%s takes the label endpoint for its own", name)
		}
	}
	for name, s := range m.scaledObjects {
		d := m.deployments[s.Spec.ScaleTargetRef.Name]
		if d == nil {
			t.Errorf("%s scales %s, which is not there", name, s.Spec.ScaleTargetRef.Name)
		} else if d.Spec.Replicas != nil {
			t.Errorf("%s scales %s, whose number each update would set back", name, d.Name)
		}
		if s.Spec.MinReplicaCount < 1 {
			t.Errorf("%s leaves nobody there", name)
		}
	}
	for _, r := range m.prometheusRules {
		var want prometheusRule
		rules, err := os.ReadFile(chartRules)
		if err == nil {
			err = decodeStrictly(rules, &want.Spec)
		}
		if diff := cmp.Diff(want.Spec, r.Spec); err != nil || diff != "" || len(want.Spec.Groups) == 0 {
			t.Errorf("%v: other rules than those of %s (-want +got):\n%s", err, chartRules, diff)
		}
	}
}

func portNames(d *appsv1.Deployment) map[string]bool {
	names := make(map[string]bool)
	for _, c := range d.Spec.Template.Spec.Containers {
		for _, p := range c.Ports {
			names[p.Name] = true
		}
	}
	return names
}

func checkDeployment(t *testing.T, m *manifest, name string, d *appsv1.Deployment) {
	t.Helper()
	pod := d.Spec.Template.Spec
	if !labels.SelectorFromSet(d.Spec.Selector.MatchLabels).Matches(labels.Set(d.Spec.Template.Labels)) {
		t.Errorf("%s does not select its pods", name)
	}
	if len(pod.Containers) != 1 {
		t.Fatalf("%s has %d containers", name, len(pod.Containers))
	}
	c := pod.Containers[0]

	// Pod Security Standard "restricted", and beyond.
	s, sc := pod.SecurityContext, c.SecurityContext
	if !*s.RunAsNonRoot || *s.RunAsUser != 65532 || *s.FSGroup != 65532 || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault ||
		*sc.AllowPrivilegeEscalation || !*sc.ReadOnlyRootFilesystem || !slices.Equal(sc.Capabilities.Drop, []corev1.Capability{"ALL"}) ||
		*pod.AutomountServiceAccountToken || *pod.EnableServiceLinks {
		t.Errorf("%s is not locked in: %+v, %+v", name, s, sc)
	}
	if account := m.accounts[pod.ServiceAccountName]; account != nil && *account.AutomountServiceAccountToken {
		t.Errorf("%s has a token of Kubernetes", pod.ServiceAccountName)
	} else if account == nil && pod.ServiceAccountName != "default" {
		t.Errorf("%s runs as %s, which is not there", name, pod.ServiceAccountName)
	}

	volumes := make(map[string]bool)
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
		if v.ConfigMap == nil {
			continue
		}
		config := m.configs[v.ConfigMap.Name]
		if config == nil {
			t.Fatalf("%s mounts %s, which is not there", name, v.ConfigMap.Name)
		}
		sum := sha256.Sum256([]byte(strings.TrimSuffix(config.Data["andon.yaml"], "\n")))
		if got, want := d.Spec.Template.Annotations["checksum/config"], hex.EncodeToString(sum[:]); got != want {
			t.Errorf("%s would not be restarted by a change of its configuration: checksum %s, want %s", name, got, want)
		}
	}
	for _, mount := range c.VolumeMounts {
		if !volumes[mount.Name] || !mount.ReadOnly {
			t.Errorf("%s mounts %+v; volumes are %v", name, mount, volumes)
		}
		delete(volumes, mount.Name)
	}
	if len(volumes) > 0 {
		t.Errorf("%s has volumes that nobody mounts: %v", name, volumes)
	}

	for _, e := range c.Env {
		if e.Name == "GOMEMLIMIT" {
			limit, ok := c.Resources.Limits[corev1.ResourceMemory]
			request := c.Resources.Requests[corev1.ResourceMemory]
			if e.ValueFrom.ResourceFieldRef.Resource != "requests.memory" || ok && request.Cmp(limit) >= 0 {
				t.Errorf("%s collects garbage too late: %v of %v", name, e.ValueFrom, limit)
			}
		}
	}
	for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		if !portNames(d)[probe.HTTPGet.Port.StrVal] {
			t.Errorf("%s is probed at %s, which it has not", name, probe.HTTPGet.Port.StrVal)
		}
	}
}

// node does for a container what a node does: it makes the files of its volumes, and
// names the program, its arguments and its environment. It is probed at addr, and has
// broker for what the cluster calls nats.
func node(t testing.TB, m *manifest, d *appsv1.Deployment, addr, broker string) harness.Command {
	t.Helper()
	root := t.TempDir()
	c := d.Spec.Template.Spec.Containers[0]
	here := strings.NewReplacer("/etc/andon", root+"/etc/andon", ":8080", addr, ":8081", ":0").Replace
	for _, v := range d.Spec.Template.Spec.Volumes {
		var at string
		for _, mount := range c.VolumeMounts {
			if mount.Name == v.Name {
				at = here(mount.MountPath)
			}
		}
		put := func(path, text string) {
			file := filepath.Join(at, path)
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, file, text)
		}
		secret := func(name string, items []corev1.KeyToPath) {
			all := secrets(t, broker)[name]
			if items == nil {
				for key, text := range all {
					put(key, text)
				}
			}
			for _, item := range items {
				put(item.Path, all[item.Key])
			}
		}
		switch {
		case v.ConfigMap != nil:
			for file, text := range m.configs[v.ConfigMap.Name].Data {
				put(file, here(text))
			}
		case v.Secret != nil:
			secret(v.Secret.SecretName, v.Secret.Items)
		case v.Projected != nil:
			for _, source := range v.Projected.Sources {
				secret(source.Secret.Name, source.Secret.Items)
			}
		}
	}
	command := harness.Command{Name: d.Name, Path: harness.Program(t, harness.Module+"/cmd"+c.Command[0])}
	for _, arg := range c.Args {
		command.Args = append(command.Args, here(arg))
	}
	for _, e := range c.Env {
		switch {
		case e.Name == "NATS_URL":
			command.Env = append(command.Env, "NATS_URL="+broker)
		case e.ValueFrom == nil:
			command.Env = append(command.Env, e.Name+"="+here(e.Value))
		}
	}
	return command
}

// secrets are those that the values name.
func secrets(t testing.TB, broker string) map[string]map[string]string {
	t.Helper()
	const key = "a-secret-of-this-test"
	creds := natsCreds(t)
	natsContext := fmt.Sprintf(`{"url": %q}`, broker)
	return map[string]map[string]string{
		"andon-cam":          {"credentials": "[default]\nsecret_id = AKIDtest\nsecret_key = test\n"},
		"cam":                {"ini": "[pay]\nsecret_id = AKIDtest\nsecret_key = test\n"},
		"andon-nats-worker":  {"nats.creds": creds},
		"andon-nats-ingress": {"nats.creds": creds},
		"andon-nats-context": {"andon.json": natsContext, "web.json": natsContext},
		"senders":            {"am": key, "am.new": key, "grafana": key, "tcop": key, "pagerduty": key, "bus": key, "ci": key},
	}
}

// natsCreds is the credentials file of some user. A broker that asks nobody who they are
// takes any.
func natsCreds(t testing.TB) string {
	t.Helper()
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	name, err := user.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.NewUserClaims(name).Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		t.Fatal(err)
	}
	return string(creds)
}

func TestChartStartsWhatItConfigures(t *testing.T) {
	broker := harness.StartBroker(t, harness.BrokerConfig{Nodes: 1})
	for name, values := range chartValues {
		out, err := rendered(t, chartDir, values)
		if err != nil {
			t.Fatal(err)
		}
		m := parseManifest(t, out)
		for _, d := range m.deployments {
			t.Run(name+"/"+d.Name, func(t *testing.T) {
				addr := harness.FreeAddr(t)
				command := node(t, m, d, addr, broker.URL())
				command.Env = append(command.Env, "ANDON_REPLICAS=1") // there is one broker
				if account := m.accounts[d.Spec.Template.Spec.ServiceAccountName]; account != nil && account.Annotations["tke.cloud.tencent.com/role-arn"] != "" {
					// As TKE's webhook does.
					command.Env = append(command.Env, "TKE_REGION=ap-guangzhou", "TKE_PROVIDER_ID=cls-1", "TKE_WEB_IDENTITY_TOKEN_FILE=/token", "TKE_ROLE_ARN=arn")
				}
				p := harness.Start(t, command)
				c := d.Spec.Template.Spec.Containers[0]
				for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
					harness.Eventually(t, 60*time.Second, func() error {
						if end := p.Ended(); end != nil {
							t.Fatalf("%v:\n%s", end, p.Log)
						}
						return harness.Answers(t.Context(), "http://"+addr+probe.HTTPGet.Path)
					})
				}
				p.Signal(syscall.SIGTERM)
				if code, err := p.Exit(30 * time.Second); err != nil || code != 0 {
					t.Errorf("ended with %d, %v", code, err)
				}
			})
		}
		for _, s := range m.scaledObjects {
			for _, trigger := range s.Spec.Triggers {
				of := trigger.Metadata
				if _, err := broker.JS.Consumer(t.Context(), of["stream"], of["consumer"]); err != nil {
					t.Errorf("%s counts what waits for %s of %s: %v", s.Name, of["consumer"], of["stream"], err)
				}
			}
		}
	}
}

// knownToAll are the variables of the environment that are nobody's flag.
var knownToAll = []string{"GOMEMLIMIT", "XDG_CONFIG_HOME", "OTEL_EXPORTER_OTLP_ENDPOINT"}

func TestChartSetsWhatTheProgramsKnow(t *testing.T) {
	for name, values := range chartValues {
		out, err := rendered(t, chartDir, values)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parseManifest(t, out).deployments {
			c := d.Spec.Template.Spec.Containers[0]
			help, err := exec.CommandContext(t.Context(), harness.Program(t, harness.Module+"/cmd"+c.Command[0]), "--help").CombinedOutput()
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range c.Env {
				if !regexp.MustCompile(`[[$]`+e.Name+`\b`).Match(help) && !slices.Contains(knownToAll, e.Name) {
					t.Errorf("%s: %s is given %s, which it does not know", name, d.Name, e.Name)
				}
			}
			for _, arg := range c.Args {
				flag, _, _ := strings.Cut(arg, "=")
				if !regexp.MustCompile(regexp.QuoteMeta(flag) + `\b`).Match(help) {
					t.Errorf("%s: %s is given %s, which it does not know", name, d.Name, flag)
				}
			}
		}
	}
}

func TestChartRefuses(t *testing.T) {
	for _, tt := range []struct{ name, values, want string }{
		{"no broker", "nats: {url: ''}", "nats.url is empty"},
		{"two brokers", "nats: {context: {secret: a}}", "leave one out"},
		{"a password in the URL", "nats: {url: 'nats://user:password@nats:4222'}", "nats.url"},
		{"another scheme", "nats: {url: 'http://nats:4222'}", "nats.url"},
		{"no account", "accounts: null", "accounts is empty"},
		{"no way to credentials", "accounts: {default: {secret: null}}", "accounts.default"},
		{"two ways to credentials", "accounts: {default: {cvmRole: andon}}", "accounts.default"},
		{"a profile of no file", "accounts: {edge: {cvmRole: andon, profile: a}}", "profile"},
		{"a name that no request can say", "accounts: {a.b: {cvmRole: andon}}", "a.b"},
		{"OIDC without a role", "accounts: {edge: {tkeOidc: true}}", "tkeOidc.roleArn is empty"},
		{"a misspelt value", "repplicas: 3", "repplicas"},
		{"a misspelt value below another", "keda: {enable: true}", "enable"},
		{"no worker", "replicas: 0", "replicas"},
		{"text for a number", "rate: fast", "rate"},
		{"no calls", "rate: 0", "rate"},
		{"too many copies", "nats: {streamReplicas: 6}", "streamReplicas"},
		{"a policy without a limit", "policy: {rules: {}}", "policy.rules"},
		{"a rule without a limit", "policy: {rules: {a: {}}}", "policy.rules.a"},
		{"a misspelt rule", "policy: {rules: {a: {region: [ap-guangzhou]}}}", "region"},
		{"a lane as a team", "policy: {rules: {urgent: {max-targets: 1}}}", "urgent"},
		{"an endpoint with a path", "endpoint: https://as.example.com/v1", "endpoint"},
		{"no region", "regions: [Guangzhou]", "regions"},
		{"less time than a worker may need", "terminationGracePeriodSeconds: 30", "terminationGracePeriodSeconds"},
		{"KEDA without a place to look", "keda: {enabled: true}", "keda.monitoringEndpoint is empty"},
		{"KEDA that leaves nobody there", "keda: {enabled: true, minReplicas: 0}", "minReplicas"},
		{"KEDA with more at least than at most", "keda: {enabled: true, minReplicas: 5, monitoringEndpoint: 'nats:8222'}", "keda.minReplicas is more"},
		{"an open ingress", "ingress: {enabled: true}", "ingress.sources is empty"},
		{"an open source", "ingress: {enabled: true, sources: {request: {}}}", "sources.request"},
		{"a sender that nobody knows", "ingress: {sources: {nagios: {bearer: [{name: a, key: b}]}}}", "nagios"},
		{"a signature of one who does not sign", "ingress: {sources: {alertmanager: {hmac: [{name: a, key: b}]}}}", "hmac"},
		{"a password of nobody", "ingress: {sources: {request: {password: [{name: a, key: b}]}}}", "request"},
		{"a rule without a group", "ingress: {rules: [{region: ap-guangzhou}]}", "group"},
		{"nothing to expose", "ingress: {expose: {enabled: true, host: andon.example.com}}", "there is nothing to expose"},
		{"exposed without TLS", "ingress: {enabled: true, sources: {request: {bearer: [{name: a, key: b}]}}, expose: {enabled: true, host: a.example}}", "would be read on the way"},
		{"exposed everywhere", "ingress: {enabled: true, sources: {request: {bearer: [{name: a, key: b}]}}, expose: {enabled: true}}", "host"},
		{
			"an ingress that finds no broker",
			"nats: {url: null, context: {secret: a}}\ningress: {enabled: true, sources: {request: {bearer: [{name: a, key: b}]}}}",
			"ingress.nats.context.secret",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			least, more := filepath.Join(t.TempDir(), "least.yaml"), filepath.Join(t.TempDir(), "more.yaml")
			write(t, least, leastValues)
			write(t, more, tt.values)
			_, err := helm(t, "template", chartDir, "--kube-version", oldestKubernetes, "-f", least, "-f", more)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(strings.ReplaceAll(err.Error(), "/", "."), tt.want) {
				t.Errorf("does not say %q: %v", tt.want, err)
			}
		})
	}
}

func TestChartTakesTheExamplesOfItsReadme(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(chartDir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(examples) != 2 {
		t.Fatalf("there are %d", len(examples))
	}
	for _, example := range examples {
		out, err := rendered(t, chartDir, example[1])
		if err != nil {
			t.Fatal(err)
		}
		coherent(t, parseManifest(t, out))
	}
}

func TestChartIsForKubernetesThatCanSleep(t *testing.T) {
	file := filepath.Join(t.TempDir(), "values.yaml")
	write(t, file, leastValues)
	if _, err := helm(t, "template", chartDir, "--kube-version", "1.29.9", "-f", file); err == nil || !strings.Contains(err.Error(), "1.30") {
		t.Errorf("for 1.29: %v", err)
	}
}

func TestChartIsPackedWithTheRules(t *testing.T) {
	to := t.TempDir()
	if _, err := helm(t, "package", chartDir, "--destination", to); err != nil {
		t.Fatal(err)
	}
	packed, err := filepath.Glob(filepath.Join(to, "andon-*.tgz"))
	if err != nil || len(packed) != 1 {
		t.Fatalf("packed %v, %v", packed, err)
	}
	want, err := os.ReadFile(chartRules)
	if err != nil {
		t.Fatal(err)
	}
	if got := unpackGz(t, packed[0])["andon/files/andon.rules.yaml"].text; !bytes.Equal(got, want) {
		t.Errorf("packed with other rules than %s: %.100s", chartRules, got)
	}
	apart, err := rendered(t, packed[0], moreValues)
	if err != nil {
		t.Fatal(err)
	}
	if here, err := rendered(t, chartDir, moreValues); err != nil || apart != here {
		t.Errorf("the package renders otherwise than the directory (%v)", err)
	}
}

// TestChartValuesAreAllThere compares values.yaml with the schema, so that whoever reads
// the one sees all that there is. Helm looks at the other direction.
func TestChartValuesAreAllThere(t *testing.T) {
	var values, schema map[string]any
	for file, into := range map[string]*map[string]any{"values.yaml": &values, "values.schema.json": &schema} {
		text, err := os.ReadFile(filepath.Join(chartDir, file))
		if err == nil {
			err = yaml.Unmarshal(text, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	definitions := schema["definitions"].(map[string]any)
	var compare func(at string, values map[string]any, schema map[string]any)
	compare = func(at string, values map[string]any, schema map[string]any) {
		if ref, ok := schema["$ref"].(string); ok {
			schema = definitions[strings.TrimPrefix(ref, "#/definitions/")].(map[string]any)
		}
		if schema["type"] == "object" && schema["additionalProperties"] == nil && len(values) > 0 {
			t.Errorf("%s: the schema takes anything", at)
		}
		properties, _ := schema["properties"].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			value, there := values[name]
			if !there && at+name != "global" { // which is Helm's own
				t.Errorf("%s%s is not in values.yaml", at, name)
			}
			// What is empty is an example's to show.
			if below, _ := value.(map[string]any); len(below) > 0 && at+name != "resources" && at+name != "ingress.resources" {
				compare(at+name+".", below, properties[name].(map[string]any))
			}
		}
	}
	compare("", values, schema)
}
