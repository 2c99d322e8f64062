package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-a7c21902/andon/pkg/simulator"
	"github.com/seed-a7c21902/andon/test/harness"
)

// step is a run of the program in a session.
type step struct {
	args string // separated by spaces; "_" stands for one
	in   string
}

// record runs the steps and writes down what somebody sees.
func (d *desk) record(steps []step) string {
	d.t.Helper()
	var b strings.Builder
	for _, s := range steps {
		args := strings.Fields(s.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "_", " ")
		}
		o := d.with(nil, s.in, args...)
		fmt.Fprintf(&b, "$ andon %s\n", strings.ReplaceAll(s.args, "_", " "))
		b.WriteString(o.out)
		for line := range strings.Lines(o.err) {
			b.WriteString("! " + line)
		}
		fmt.Fprintf(&b, "exit %d\n\n", o.code)
	}
	return d.steady(b.String())
}

func TestAnIncidentByTheCommandLine(t *testing.T) {
	t.Parallel()
	d := newDesk(t, simulator.Sample())
	d.work(d.url(""))
	d.work(d.url(""))
	d.publish("as.refresh.stop", `{"Id":"broken","AutoScalingGroupId":`)
	harness.Eventually(t, 30*time.Second, func() error {
		if o := d.andon("dead", "ls"); !strings.Contains(o.out, "invalid") {
			return fmt.Errorf("no dead letter: %s%s", o.out, o.err)
		}
		return nil
	})
	harness.Golden(t, "testdata/incident.txt", strings.ReplaceAll(d.record([]step{
		{args: "plan --tag env=prod --name shop* --region ap-guangzhou --max-targets 50 --id look"},
		{args: "stop asg-shopweb1 --region ap-guangzhou --reason 5xx_after_v18 --incident INC-4711 --id first --wait"},
		{args: "stop asg-shopweb1 --region ap-guangzhou --id second --wait -o json"},
		{args: "stop -f - --id listed --wait", in: "Region,AutoScalingGroupId\nap-guangzhou,asg-shopapi1\nap-singapore,asg-gamechat\n"},
		{args: "stop asg-reports1 -r ap-guangzhou --id over --wait -q -o csv"},
		{args: "stop asg-gamechat -r ap-singapore --id stored -n"},
		{args: "watch listed"},
		{args: "results listed --outcome refused"},
		{args: "why asg-shopweb1"},
		{args: "why asg-shopcart"},
		{args: "why asg-reports1"},
		{args: "why asg-unknown1"},
		{args: "paused"},
		{args: "resume first --id undo --wait"},
		{args: "resume asg-shopapi1 -r ap-guangzhou --mode continue --id named --wait -q"},
		{args: "why asg-shopweb1 -q"},
		{args: "paused -o csv"},
		{args: "hold"},
		{args: "hold --for 5m --reason maintenance_of_the_API"},
		{args: "hold --for 1s --by bob --reason another"},
		{args: "stop asg-shopapi1 -r ap-guangzhou --id waits --wait --timeout 4s"},
		{args: "status"},
		{args: "release"},
		{args: "release"},
		{args: "watch waits"},
		{args: "watch nobody-asked"},
		{args: "stop asg-reports1 -r ap-guangzhou --id lines --wait -q -o jsonl"},
		{args: "stop --tag team=nobody --all-regions --max-targets 5 --id nothing --wait -o json"},
		{args: "plan asg-gamelive -r ap-singapore --id seen -o json"},
		{args: "dead ls"},
		{args: "dead ls --filter why=failed"},
		{args: "dead replay --all"},
		{args: "version"},
		{args: "schema answer"},
	}), versionOf(d), "<version>"))
}

// versionOf is what the program says that it is.
func versionOf(d *desk) string {
	return strings.TrimPrefix(strings.TrimSpace(d.must("version").out), "andon ")
}

func (d *desk) publish(subject, payload string) {
	d.t.Helper()
	nc, err := nats.Connect(d.url(""))
	if err != nil {
		d.t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Request(subject, []byte(payload), 5*time.Second); err != nil {
		d.t.Fatal(err)
	}
}

func TestMistakesOnTheCommandLine(t *testing.T) {
	t.Parallel()
	d := &desk{t: t, program: harness.Program(t, harness.Module+"/cmd/andon"), env: []string{"ANDON_BY=alice", "NATS_URL=nats://127.0.0.1:1"}}
	harness.Golden(t, "testdata/mistakes.txt", d.record([]step{
		{args: "halt"},
		{args: "stp asg-a"},
		{args: "stop"},
		{args: "stop asg-a --frobnicate"},
		{args: "stop asg_A"},
		{args: "stop asg-a asg-b --activity asr-a"},
		{args: "stop asg-a --name web-*"},
		{args: "stop --name web-*"},
		{args: "stop --name web-* --all-regions"},
		{args: "stop --name web-* --all-regions --region ap-guangzhou --max-targets 3"},
		{args: "stop --name [ --all-regions --max-targets 3"},
		{args: "stop asg-a --region guangzhou"},
		{args: "stop asg-a --region ap-a --region ap-b"},
		{args: "stop asg-a asg-b --max-targets 1"},
		{args: "stop asg-a --id a.b"},
		{args: "stop asg-a --id asg-b"},
		{args: "stop asg-a --timeout 5s"},
		{args: "stop asg-a --timeout -5s --wait"},
		{args: "stop asg-a --team urgent"},
		{args: "stop asg-a --not-after yesterday"},
		{args: "stop asg-a --not-after 2020-01-01T00:00:00Z"},
		{args: "stop -f no-such-file"},
		{args: "stop -f -", in: "AutoScalingGroupId,Regoin\nasg-a,ap-guangzhou\n"},
		{args: "stop -f -", in: "asg-a\nasg_b\n"},
		{args: "resume INC-1 --region ap-guangzhou"},
		{args: "resume INC-1 --activity asr-a"},
		{args: "resume asg-a --of INC-1"},
		{args: "resume asg-a --mode again"},
		{args: "resume INC-1 INC-2"},
		{args: "watch"},
		{args: "watch a.b"},
		{args: "results --outcome fine"},
		{args: "results --since sunday"},
		{args: "why web-1"},
		{args: "dead"},
		{args: "dead show"},
		{args: "dead replay"},
		{args: "dead ls --filter reason=x"},
		{args: "hold --reason x --for -1m"},
		{args: "hold --reason x --for 1ns"},
		{args: "status -o csv"},
		{args: "status -o yaml"},
		{args: "paused --nats-url nats://127.0.0.1:1 --nats-context nowhere"},
		{args: "paused --nats-context nowhere"},
		{args: "paused"},
	}))
}
