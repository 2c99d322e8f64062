package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// asking is what the commands have in common that ask for something: flags that
// make a request.
type asking struct {
	action string

	id, account, activity      string
	regions                    []string
	allRegions                 bool
	file                       string
	tags                       map[string]string
	name, launch               string
	maxTargets                 int
	reason, incident, by, team string
	urgent, rollback, dryRun   bool
	mode, notAfter, of         string

	yes, wait bool
	timeout   time.Duration
}

// which are the flags that say which groups are meant, who those that say who
// asks, and why.
func (a *asking) which(set *pflag.FlagSet) {
	set.StringSliceVarP(&a.regions, "region", "r", nil, "region of the groups; several with --tag and --name, $TENCENTCLOUD_REGION (default that of the workers)")
	set.StringVar(&a.account, "account", "", `account, as the workers name it (default "default")`)
	set.StringVar(&a.activity, "activity", "", "refresh activity asr-… of a single group (default the live one)")
	set.StringVarP(&a.file, "file", "f", "", `file of groups, "-" is standard input: CSV with a header, JSON lines, or a list of ids`)
	set.StringToStringVar(&a.tags, "tag", nil, "every group with this tag, as key=value; several must all match")
	set.StringVar(&a.name, "name", "", "every group whose name matches, such as 'web-*'")
	set.StringVar(&a.launch, "launch-configuration", "", "every group with this launch configuration asc-…")
	set.BoolVar(&a.allRegions, "all-regions", false, "with --tag and --name: in all regions that the workers serve")
	set.IntVar(&a.maxTargets, "max-targets", 0, "do nothing at all if more groups are meant; required with --tag and --name")
}

func (a *asking) who(set *pflag.FlagSet) {
	set.StringVar(&a.id, "id", "", "identity of the request: the same id is carried out once (default a new one)")
	set.StringVar(&a.reason, "reason", "", "why; repeated in every result")
	set.StringVar(&a.incident, "incident", "", "where it is tracked")
	set.StringVar(&a.by, "by", "", "who asks, $ANDON_BY (default the user of this machine)")
	set.StringVar(&a.team, "team", "", "publish below this token, where the broker gives each team its own, $ANDON_TEAM")
	set.StringVar(&a.notAfter, "not-after", "", "no call later than this: a time such as 2026-11-23T04:05:06Z, or a duration such as 10m (default 30m)")
	waitFor(set, &a.timeout)
}

// waitFor is the flag for how long somebody waits.
func waitFor(set *pflag.FlagSet, timeout *time.Duration) {
	set.DurationVar(timeout, "timeout", 0, "wait for results no longer than this; the request goes on (default without end)")
}

// request makes a request of the flags and arguments.
func (a *asking) request(ctx context.Context, s *session, args []string) (stop.Request, error) {
	r := stop.Request{
		ID: cmp.Or(a.id, a.newID()), Account: a.account, MaxTargets: a.maxTargets,
		Reason: a.reason, Incident: a.incident, RequestedBy: s.asker(a.by),
		DryRun: a.dryRun, AllowRollback: a.rollback, ResumeMode: stop.ResumeMode(strings.ToUpper(a.mode)),
	}
	if a.id != "" {
		if err := validID(a.id); err != nil {
			return r, err
		}
		// Elsewhere on the command line it would be taken for a group.
		if strings.HasPrefix(a.id, groupPrefix) {
			return r, usage("--id %q: begins like the id of a group; choose another", a.id)
		}
	}
	if a.timeout < 0 {
		return r, usage("--timeout %v: must not be negative", a.timeout)
	}
	var err error
	if r.NotAfter, err = deadline(a.notAfter); err != nil {
		return r, err
	}
	selects := len(a.tags) > 0 || a.name != "" || a.launch != ""
	if err := a.oneWay(args, selects); err != nil {
		return r, err
	}
	if of := a.undoes(args); of != "" {
		if len(a.regions) > 0 || a.account != "" || a.activity != "" {
			return r, usage("%q is a request, and what it has paused is resumed wherever that is: leave --region, --account and --activity out", of)
		}
		if err := validID(of); err != nil {
			return r, err
		}
		r.Of = of
		return r, a.judge(s, r)
	}
	regions := a.regions
	if region := s.getenv("TENCENTCLOUD_REGION"); len(regions) == 0 && region != "" && !a.allRegions {
		regions = []string{region}
	}
	if selects {
		if len(regions) == 0 && !a.allRegions {
			return r, usage("say where: --region, or --all-regions")
		}
		if a.maxTargets <= 0 {
			return r, usage("--max-targets is required with --tag and --name: the most groups that may be meant")
		}
		r.Selector = &stop.Selector{Account: a.account, Regions: regions, Tags: a.tags, Name: a.name, LaunchConfigurationID: a.launch}
		return r, a.judge(s, r)
	}
	if len(regions) == 1 {
		r.Region = regions[0]
	}
	targets, err := a.named(ctx, s, args)
	if err != nil {
		return r, err
	}
	if a.maxTargets > 0 && len(targets) > a.maxTargets {
		return r, usage("%s are named, and --max-targets is %d: nothing was published", count(len(targets), "group"), a.maxTargets)
	}
	r.Targets = targets
	if len(targets) == 1 {
		r.AutoScalingGroupID, r.RefreshActivityID, r.Targets = targets[0].AutoScalingGroupID, targets[0].RefreshActivityID, nil
		r.Account, r.Region = cmp.Or(targets[0].Account, r.Account), cmp.Or(targets[0].Region, r.Region)
	}
	share(&r)
	return r, a.judge(s, r)
}

// oneWay refuses flags that answer the same question twice, or none.
func (a *asking) oneWay(args []string, selects bool) error {
	ways := 0
	for _, given := range []bool{len(args) > 0, a.file != "", selects, a.of != ""} {
		if given {
			ways++
		}
	}
	switch {
	case ways == 0:
		return usage("say which groups: asg-… as arguments, or --file, or --tag and --name")
	case ways > 1:
		return usage("groups are named as arguments, or by --file, or by --tag, --name and --launch-configuration: choose one way")
	case a.allRegions && !selects:
		return usage("--all-regions is for --tag and --name; groups that are named have a --region")
	case a.allRegions && len(a.regions) > 0:
		return usage("--all-regions and --region: choose one")
	case !selects && len(a.regions) > 1:
		return usage("groups that are named have one --region; for several use a --file with a column Region")
	case a.activity != "" && len(args) != 1:
		return usage("--activity is for a single group, named as the argument")
	default:
		return nil
	}
}

// groupPrefix is how the ids of groups begin.
const groupPrefix = "asg-"

// undoes is the request whose pauses are undone, if one is named.
func (a *asking) undoes(args []string) string {
	if a.action == stop.ActionResume && len(args) == 1 && !strings.HasPrefix(args[0], groupPrefix) {
		return args[0]
	}
	return a.of
}

// undoing is the command that undoes a request.
func undoing(request string) string {
	if strings.HasPrefix(request, groupPrefix) {
		return "andon resume --of " + request
	}
	return "andon resume " + request
}

// validID refuses what is no identity of a request.
func validID(id string) error {
	if stop.ValidID(id) {
		return nil
	}
	return usage("%q is no identity of a request: want letters, digits, - and _, at most 64", id)
}

// named are the groups that the arguments or a file name.
func (a *asking) named(ctx context.Context, s *session, args []string) ([]stop.Target, error) {
	if a.file == "" {
		var targets []stop.Target
		for _, arg := range args {
			t := stop.Target{AutoScalingGroupID: arg, RefreshActivityID: a.activity}
			if bad := t.Check(); bad != nil {
				return nil, usage("%v", bad)
			}
			targets = append(targets, t)
		}
		return targets, nil
	}
	name, in := "standard input", s.in
	if a.file != "-" {
		f, err := os.Open(a.file)
		if err != nil {
			return nil, usage("--file: %w", err)
		}
		defer f.Close()
		name, in = a.file, f
	}
	// A pipe that nobody writes to must not keep the process from ending; the read
	// ends with it.
	type read struct {
		targets []stop.Target
		err     error
	}
	done := make(chan read, 1)
	go func() {
		targets, err := readTargets(name, in)
		done <- read{targets, err}
	}()
	select {
	case <-ctx.Done():
		return nil, failed(ctx.Err())
	case r := <-done:
		if r.err != nil {
			return nil, usage("nothing was published\n%w", r.err)
		}
		return r.targets, nil
	}
}

// share says once what all targets have in common: a request has at most 1 MiB.
func share(r *stop.Request) {
	if len(r.Targets) == 0 {
		return
	}
	account, region := r.Targets[0].Account, r.Targets[0].Region
	for _, t := range r.Targets {
		if t.Account != account {
			account = ""
		}
		if t.Region != region {
			region = ""
		}
	}
	for i := range r.Targets {
		t := &r.Targets[i]
		if account != "" {
			r.Account, t.Account = account, ""
		}
		if region != "" {
			r.Region, t.Region = region, ""
		}
	}
}

// subject is where the request is published.
func (a *asking) subject(s *session) (string, error) {
	lane := stop.LaneNormal
	if a.urgent {
		lane = stop.LaneUrgent
	}
	subject := stop.RequestSubject(a.action, lane)
	team := cmp.Or(a.team, s.getenv("ANDON_TEAM"))
	if team == "" {
		return subject, nil
	}
	if !stop.ValidTeam(team) {
		return "", usage("--team %q: want letters, digits, - and _, and not the name of a lane", team)
	}
	return subject + "." + team, nil
}

// message is the request as it is published.
func (a *asking) message(s *session, r stop.Request) (stop.Message, error) {
	subject, err := a.subject(s)
	if err != nil {
		return stop.Message{}, err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return stop.Message{}, fmt.Errorf("encode the request: %w", err)
	}
	return stop.Message{Subject: subject, Header: map[string][]string{"Nats-Msg-Id": {r.ID}}, Data: data}, nil
}

// judge refuses what the workers would: with their own rules, and before anything
// is published. The region of a request that names none is theirs.
func (a *asking) judge(s *session, r stop.Request) error {
	m, err := a.message(s, r)
	if err != nil {
		return err
	}
	m.Stored = time.Now()
	if _, bad := stop.Judge(m); bad != nil {
		return usage("%v", bad)
	}
	if !r.NotAfter.IsZero() && r.NotAfter.Before(m.Stored) {
		return usage("--not-after %s has passed", a.notAfter)
	}
	return nil
}

// deadline reads a time or a duration from now.
func deadline(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return time.Now().Add(d).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, usage("--not-after %q: want a time such as 2026-11-23T04:05:06Z, or a duration such as 10m", text)
	}
	return t, nil
}

// newID is short enough to be read out on a call, and long enough to be new.
func (a *asking) newID() string {
	const letters = 12
	prefix := "stop-"
	switch {
	case a.dryRun:
		prefix = "plan-"
	case a.action == stop.ActionResume:
		prefix = "resume-"
	}
	return prefix + strings.ToLower(rand.Text()[:letters])
}

func whoami(getenv func(string) string) string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return cmp.Or(getenv("USER"), getenv("LOGNAME"), getenv("USERNAME"))
}
