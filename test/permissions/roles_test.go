package permissions

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-a7c21902/andon/test/harness"
)

// verb is one thing that somebody may try on the broker, and who is to succeed.
type verb struct {
	kind kind
	// what is the subject, body what is published to it. In both {n} counts those who
	// may, for what can be done once only.
	what, body string
	may        []string
}

type kind string

const (
	asks    kind = "asks"    // and is to have an answer that is no error
	tells   kind = "tells"   // and is not answered
	listens kind = "listens" // subscribes
)

var (
	nobody    []string
	works     = []string{worker, admin}
	looks     = []string{worker, operator, observer, admin}
	onCall    = []string{operator, admin}
	setsUp    = []string{admin}
	forNobody = []string{ingress, operator, admin} // asks in the name of no team, or of any
)

// verbs are tried in this order, by the admin last: what he removes, others were
// refused.
func verbs() []verb {
	return slices.Concat([]verb{
		// Requests: everybody as himself.
		{asks, "as.refresh.stop", "{}", forNobody},
		{asks, "as.refresh.stop.urgent", "{}", forNobody},
		{asks, "as.refresh.stop.bulk", "{}", forNobody},
		{asks, "as.refresh.stop.team-b.team-a", "{}", forNobody},
		{asks, "as.refresh.resume", "{}", onCall},
		{asks, "as.refresh.resume.urgent.team-a", "{}", onCall},
	}, requests(teamA), requests(teamB), []verb{
		// What only workers store, and a hold.
		{asks, "as.refresh.result.INC-{n}", "{}", works},
		{asks, "as.refresh.result.INC-{n}.asg-1", "{}", works},
		{asks, "as.refresh.dead.INC-1", "{}", works},
		{asks, "as.refresh.task.q.normal.INC-1", "{}", works},
		{asks, "as.refresh.bulk.INC-1", "{}", works},
		{tells, "as.refresh.progress.INC-1", "{}", works},
		{asks, "$KV.as_refresh_control.hold", "{}", []string{worker, operator, admin}},
		{asks, "$KV.as_refresh_control.budget", "{}", works},
		{asks, "$KV.as_refresh_limiter.q", "{}", works},
		{asks, "$KV.as_refresh_history.INC-1", "{}", works},
		{asks, "$KV.as_refresh_calls.asr-1", "{}", works},
		{asks, "$KV.as_refresh_manifests.INC-1", "{}", works},

		// The workers as a service.
		{tells, "as.refresh.status", "", []string{observer, operator, admin}},
		{tells, "$SRV.PING", "", setsUp},
		{tells, "$SRV.STATS.andon", "", setsUp},

		// Looking.
		{asks, "$JS.API.STREAM.INFO.AS_REFRESH_STOP", "", looks},
		{asks, "$JS.API.STREAM.MSG.GET.AS_REFRESH_RESULTS", `{"seq":1}`, looks},
		{asks, "$JS.API.DIRECT.GET.AS_REFRESH_RESULTS", `{"seq":1}`, looks},
		{asks, "$JS.API.STREAM.NAMES", "", setsUp},
		{asks, "$JS.API.INFO", "", setsUp},
	},
		reading("AS_REFRESH_RESULTS", looks, works),
		reading("KV_as_refresh_calls", looks, works),
		reading("KV_as_refresh_control", works, works),
		reading("AS_REFRESH_DEAD", []string{operator, observer, admin}, setsUp),

		// Taking requests and tasks, which is to take them away from the workers.
		taking("AS_REFRESH_STOP", "plan", "", works),
		taking("AS_REFRESH_RESUME", "resume", "", works),
		taking("AS_REFRESH_BULK", "bulk", "", works),
		taking("AS_REFRESH_TASKS", "q_normal", "as.refresh.task.q.normal.INC-1", looks),
		[]verb{
			{asks, "$JS.API.CONSUMER.LIST.AS_REFRESH_TASKS", "", []string{operator, observer, admin}},
			{asks, "$JS.API.CONSUMER.LIST.AS_REFRESH_STOP", "", setsUp},
			{asks, "$JS.API.CONSUMER.NAMES.AS_REFRESH_TASKS", "", works},
			{tells, "$JS.ACK.AS_REFRESH_STOP.plan.1.1.1.0.0", "+WPI", works},

			// Removing and mending.
			{asks, "$JS.API.STREAM.CREATE.OTHER", `{"name":"OTHER","subjects":["other"],"storage":"memory"}`, setsUp},
			{asks, "$JS.API.STREAM.UPDATE.OTHER", `{"name":"OTHER","subjects":["other"],"storage":"memory","max_msgs":1}`, setsUp},
			{asks, "$JS.API.STREAM.MSG.DELETE.AS_REFRESH_RESULTS", `{"seq":1}`, setsUp},
			{asks, "$JS.API.STREAM.PURGE.AS_REFRESH_STOP", "", setsUp},
			{asks, "$JS.API.STREAM.PURGE.AS_REFRESH_RESULTS", "", setsUp},
			{asks, "$JS.API.STREAM.PURGE.KV_as_refresh_limiter", "", setsUp},
			{asks, "$JS.API.CONSUMER.PAUSE.AS_REFRESH_STOP.plan", `{"pause_until":"2000-01-01T00:00:00Z"}`, setsUp},
			{asks, "$JS.API.CONSUMER.DELETE.AS_REFRESH_STOP.plan", "", setsUp},
			{asks, "$JS.API.CONSUMER.CREATE.AS_REFRESH_STOP.mine", consumer("AS_REFRESH_STOP", "mine", ""), setsUp},
			{asks, "$JS.API.STREAM.DELETE.AS_REFRESH_DEAD", "", setsUp},

			// Nobody's.
			{tells, "_INBOX_worker.x", "{}", nobody},
			{tells, "_INBOX.x", "{}", nobody},
			{tells, "$SYS.REQ.SERVER.PING", "", nobody},
			{tells, "orders.new", "{}", nobody},

			// Listening in.
			{listens, "_INBOX.>", "", nobody},
			{listens, ">", "", nobody},
			{listens, "as.refresh.stop.>", "", nobody},
			{listens, "as.refresh.result.>", "", nobody},
			{listens, "$KV.>", "", nobody},
			{listens, "$JS.>", "", nobody},
			{listens, "as.refresh.progress.INC-1", "", []string{observer, operator}},
			{listens, "as.refresh.status", "", works},
			{listens, "$SRV.PING", "", works},
			{listens, "$SRV.PING.andon", "", works},
			{listens, "$SRV.PING.andon.id", "", works},
			{listens, "$SRV.PING.other", "", nobody},
		},
		inboxes(),
	)
}

// requests are those in the name of a team.
func requests(team string) (all []verb) {
	for _, lane := range []string{"", "urgent.", "bulk."} {
		all = append(all, verb{asks, "as.refresh.stop." + lane + team, "{}", append([]string{team}, forNobody...)})
	}
	return all
}

// reading is to look at a stream in order, and to take away what that needs.
func reading(stream string, may, mayRemove []string) []verb {
	of := stream + ".look-{n}"
	return []verb{
		{asks, "$JS.API.CONSUMER.CREATE." + of, consumer(stream, "look-{n}", ""), may},
		{asks, "$JS.API.CONSUMER.INFO." + of, "", may},
		{asks, "$JS.API.CONSUMER.MSG.NEXT." + of, `{"batch":1,"no_wait":true}`, may},
		{asks, "$JS.API.CONSUMER.DELETE." + of, "", mayRemove},
	}
}

// taking is to work off a queue, to see how far that is, and to remove from it.
func taking(stream, durable, filter string, maySee []string) []verb {
	return []verb{
		{asks, strings.TrimSuffix("$JS.API.CONSUMER.CREATE."+stream+"."+durable+"."+filter, "."), consumer(stream, durable, filter), works},
		{asks, "$JS.API.CONSUMER.INFO." + stream + "." + durable, "", maySee},
		{asks, "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + durable, `{"batch":1,"no_wait":true}`, works},
		{asks, "$JS.API.STREAM.MSG.DELETE." + stream, `{"seq":{n}}`, works},
	}
}

// consumer is how one is asked for.
func consumer(stream, name, filter string) string {
	durable := ""
	if !strings.HasPrefix(name, "look-") {
		durable = name
	}
	return fmt.Sprintf(`{"stream_name":%q,"config":{"name":%q,"durable_name":%q,"filter_subject":%q,"ack_policy":"explicit","max_deliver":-1}}`, stream, name, durable, filter)
}

// inboxes are listened to by those whose they are.
func inboxes() (all []verb) {
	for _, role := range roles() {
		all = append(all, verb{listens, "_INBOX_" + role + ".x", "", []string{role}})
	}
	return all
}

func TestTheServerIsTheOneThatAndonNeeds(t *testing.T) {
	t.Parallel()
	b := start(t, shipped+"/server.conf", nil)
	b.prepare()
	v := b.status(t)
	if v.Version != server.VERSION || !v.JetStream.Config.SyncAlways {
		t.Errorf("version %s, syncs always: %v", v.Version, v.JetStream.Config.SyncAlways)
	}
	text, err := os.ReadFile(shipped + "/server.conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, told := range []string{server.VERSION, fmt.Sprintf("reserve %d MiB", v.JetStream.Stats.ReservedStore>>20)} {
		if !strings.Contains(string(text), told) {
			t.Errorf("server.conf does not say %q", told)
		}
	}
}

func TestEachFileOfARoleIsShippedWithAUser(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(shipped + "/roles/*.conf")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		found = append(found, strings.TrimSuffix(filepath.Base(file), ".conf"))
	}
	want := roles()
	slices.Sort(want)
	if !slices.Equal(found, want) {
		t.Errorf("roles are %v, and tried here are %v", found, want)
	}
	accounts, err := os.ReadFile(shipped + "/accounts.conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range found {
		line := fmt.Sprintf(`{nkey: $%s, permissions: {include "roles/%s.conf"}}`, keyOf(role), role)
		if strings.Count(string(accounts), line) != 1 {
			t.Errorf("accounts.conf has no user %s", line)
		}
	}
}

func TestAnOperatorMayAllThatAnObserverMay(t *testing.T) {
	t.Parallel()
	all, some := permissions(t, operator), permissions(t, observer)
	for _, subject := range some.Publish.Allow {
		if !slices.Contains(all.Publish.Allow, subject) {
			t.Errorf("an operator may not publish %s", subject)
		}
	}
	for _, subject := range some.Subscribe.Allow {
		if !strings.HasPrefix(subject, "_INBOX_") && !slices.Contains(all.Subscribe.Allow, subject) {
			t.Errorf("an operator may not subscribe to %s", subject)
		}
	}
}

// permissions is what the file of a role says.
func permissions(t *testing.T, role string) *server.Permissions {
	t.Helper()
	var o server.Options
	text := fmt.Sprintf(`authorization {users: [{user: %[1]s, password: p, permissions: {include "%[2]s/roles/%[1]s.conf"}}]}`, role, shipped)
	if err := o.ProcessConfigString(text); err != nil {
		t.Fatal(err)
	}
	return o.Users[0].Permissions
}

func TestNobodyConnectsWithoutAKeyThatIsKnown(t *testing.T) {
	t.Parallel()
	b := start(t, shipped+"/server.conf", nil)
	seed, _ := newKey(t)
	for name, opts := range map[string][]nats.Option{
		"nothing":     nil,
		"a password":  {nats.UserInfo("admin", "admin")},
		"another key": {keyFrom(t, seed)},
	} {
		if nc, err := nats.Connect("nats://"+b.addr, append(opts, patience)...); !errors.Is(err, nats.ErrAuthorization) {
			nc.Close()
			t.Errorf("who comes with %s: %v, want %v", name, err, nats.ErrAuthorization)
		}
	}
}

// Whoever publishes says where the confirmation goes, and the broker asks no
// permission for that. In the account of the streams it would be stored as a result,
// or as a hold.
func TestAConfirmationIsStoredNowhere(t *testing.T) {
	t.Parallel()
	b := start(t, shipped+"/server.conf", nil)
	b.prepare()
	look := b.connect(t, admin)
	for role, subject := range map[string]string{ingress: "as.refresh.stop", teamA: "as.refresh.stop.team-a", teamB: "as.refresh.stop.bulk.team-b"} {
		nc := b.connect(t, role)
		for _, reply := range []string{
			"as.refresh.result.INC-1", "as.refresh.task.q.normal.INC-1", "as.refresh.dead.INC-1", "as.refresh.stop.team-c", "as.refresh.resume",
			"$KV.as_refresh_control.hold", "$KV.as_refresh_limiter.q", "$JS.API.STREAM.DELETE.AS_REFRESH_RESULTS",
		} {
			before := stored(t, look)
			if err := nc.PublishRequest(subject, reply, []byte("{}")); err != nil {
				t.Fatal(err)
			}
			if err := refusal(nc); err != nil {
				t.Fatal(err)
			}
			// The broker confirms in order, and stores in order.
			if _, err := nc.Request(subject, []byte("{}"), 30*time.Second); err != nil {
				t.Fatal(err)
			}
			before["AS_REFRESH_STOP"] += 2
			if !strings.HasPrefix(reply, "$JS.") {
				storesNothing := nats.Header{jetstream.ExpectedLastSeqHeader: {strconv.Itoa(math.MaxInt64)}}
				if _, err := look.RequestMsg(&nats.Msg{Subject: reply, Header: storesNothing}, 30*time.Second); err != nil {
					t.Fatal(err)
				}
			}
			if now := stored(t, look); !maps.Equal(now, before) {
				t.Errorf("%s has its confirmation sent to %s: the streams hold %v, want %v", role, reply, now, before)
			}
		}
	}
}

// What roles/team-a.conf says of a team that may undo its pauses.
func TestATeamMayBeLetUndo(t *testing.T) {
	t.Parallel()
	dir := copied(t)
	resume := func(subject string) func(string) string {
		line := regexp.MustCompile(`(?m)^.*"` + regexp.QuoteMeta(subject) + `".*$`)
		return func(text string) string {
			return line.ReplaceAllStringFunc(text, func(s string) string { return s + "\n" + strings.ReplaceAll(s, "as.refresh.stop", "as.refresh.resume") })
		}
	}
	edit(t, dir+"/accounts.conf", resume("as.refresh.stop.>"))
	edit(t, dir+"/roles/team-a.conf", resume("as.refresh.stop.urgent.team-a"))
	b := start(t, dir+"/server.conf", nil)
	b.prepare()
	if err := (verb{kind: asks, what: "as.refresh.resume.urgent.team-a", body: "{}"}).try(b.connect(t, teamA)); err != nil {
		t.Error(err)
	}
}

// A known limit, which deploy/README.md tells of: whoever may make a consumer says
// where its messages go, and the broker asks no permission for that either
// (https://github.com/nats-io/nats-server/issues/8274). So a reader can have what is
// stored copied to any subject. Where this fails, the broker has learned to ask, and
// the README can say so.
func TestAReaderCanHaveTheBrokerCopyWhatItReads(t *testing.T) {
	t.Parallel()
	b := start(t, shipped+"/server.conf", nil)
	b.prepare()
	look := b.connect(t, admin)
	if _, err := look.Request("as.refresh.result.INC-1", []byte("{}"), 30*time.Second); err != nil {
		t.Fatal(err)
	}
	nc := b.connect(t, observer)
	if _, err := nc.Request("$JS.API.CONSUMER.CREATE.AS_REFRESH_RESULTS.copy",
		[]byte(`{"stream_name":"AS_REFRESH_RESULTS","config":{"name":"copy","deliver_subject":"as.refresh.stop","ack_policy":"none","inactive_threshold":60000000000}}`), 30*time.Second); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, 30*time.Second, func() error {
		if n := stored(t, look)["AS_REFRESH_STOP"]; n != 1 {
			return fmt.Errorf("%d requests", n)
		}
		return nil
	})
}

// stored is how many messages each stream has ever stored.
func stored(t *testing.T, nc *nats.Conn) map[string]uint64 {
	t.Helper()
	answer, err := nc.Request("$JS.API.STREAM.LIST", nil, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Streams []struct {
			Config struct{ Name string }
			State  struct {
				LastSeq uint64 `json:"last_seq"`
			}
		}
	}
	if err := json.Unmarshal(answer.Data, &list); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]uint64)
	for _, s := range list.Streams {
		all[s.Config.Name] = s.State.LastSeq
	}
	return all
}

// A key is exchanged as deploy/README.md says: the new one beside the old, reload,
// then the old one away.
func TestAKeyIsExchangedWhileTheBrokerRuns(t *testing.T) {
	t.Parallel()
	dir := copied(t)
	b := start(t, dir+"/server.conf", nil)
	old := b.connect(t, teamA, nats.MaxReconnects(0))
	seed, public := newKey(t)
	const of = `{nkey: $ANDON_NKEY_TEAM_A, permissions: {include "roles/team-a.conf"}}`
	reload := func(change func(string) string) {
		edit(t, dir+"/accounts.conf", change)
		b.reload(t)
	}
	reload(func(text string) string {
		return strings.Replace(text, of, of+"\n"+strings.Replace(of, "$ANDON_NKEY_TEAM_A", public, 1), 1)
	})
	if err := refusal(old); err != nil {
		t.Fatalf("the old key, while both are good: %v", err)
	}
	b.seeds[teamA] = seed
	fresh := b.connect(t, teamA)
	reload(func(text string) string { return strings.Replace(text, of, "", 1) })
	harness.Eventually(t, 30*time.Second, func() error {
		if !old.IsClosed() {
			return errors.New("the old key is connected")
		}
		return nil
	})
	if err := refusal(fresh); err != nil {
		t.Errorf("the new key: %v", err)
	}
}

func TestEachRoleMayDoWhatItIsForAndNothingElse(t *testing.T) {
	t.Parallel()
	b := start(t, shipped+"/server.conf", nil)
	b.prepare()
	// The admin is the first of the roles, and comes last.
	order := slices.Concat(roles()[1:], roles()[:1])
	for _, v := range verbs() {
		for _, role := range order {
			v := v.by(role)
			err := v.try(b.connect(t, role))
			switch may := slices.Contains(v.may, role); {
			case may && err != nil:
				t.Errorf("%s %s %s: %v", role, v.kind, v.what, err)
			case !may && err == nil:
				t.Errorf("%s %s %s, and should be refused", role, v.kind, v.what)
			case !may && !refusedPermission(err, v.what):
				t.Errorf("%s %s %s: %v; want the broker to refuse it the permission", role, v.kind, v.what, err)
			}
		}
	}
}

// by is the verb as a role tries it.
func (v verb) by(role string) verb {
	count := strings.NewReplacer("{n}", strconv.Itoa(slices.Index(v.may, role)+1))
	v.what, v.body = count.Replace(v.what), count.Replace(v.body)
	return v
}

// A permission that is in a file and in no verb is one that nobody has looked at.
func TestEachPermissionIsTried(t *testing.T) {
	t.Parallel()
	for _, role := range roles() {
		p := permissions(t, role)
		for _, subject := range slices.Concat(p.Publish.Allow, p.Subscribe.Allow) {
			if !slices.ContainsFunc(verbs(), func(v verb) bool {
				return slices.Contains(v.may, role) && server.SubjectMatchesFilter(v.by(role).what, subject)
			}) {
				t.Errorf("no verb tries whether %s may use %s", role, subject)
			}
		}
	}
}

// refusedPermission reports whether the broker has refused a subject by itself, and
// not failed at it.
func refusedPermission(err error, subject string) bool {
	return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), fmt.Sprintf("%q", subject))
}

// try does it once; the error says why that did not work.
func (v verb) try(nc *nats.Conn) error {
	defer nc.Close()
	if v.kind == listens {
		if _, err := nc.SubscribeSync(v.what); err != nil {
			return err
		}
		return refusal(nc)
	}
	answers, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		return err
	}
	if err := nc.PublishRequest(v.what, answers.Subject, []byte(v.body)); err != nil {
		return err
	}
	if err := refusal(nc); err != nil || v.kind == tells {
		return err
	}
	answer, err := answers.NextMsg(30 * time.Second)
	if err != nil {
		return err
	}
	if answer.Header.Get("Status") == "503" {
		return nats.ErrNoResponders
	}
	var said struct{ Error *struct{ Description string } }
	if json.Unmarshal(answer.Data, &said) == nil && said.Error != nil {
		return errors.New(said.Error.Description)
	}
	return nil
}
