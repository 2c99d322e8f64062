package stop_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

var (
	stored   = time.Date(2026, 11, 23, 4, 0, 0, 5, time.UTC)
	defaults = stop.Defaults{Region: "ap-guangzhou"}
)

// bare is a message as a publisher sends it that knows nothing of CloudEvents.
func bare(payload string) stop.Message {
	return stop.Message{Subject: stop.SubjectStop, Data: []byte(payload), Stored: stored, Sequence: 7, Delivered: 1}
}

// with is a bare message with headers, given as name, value, name, value.
func with(payload string, pairs ...string) stop.Message {
	m := bare(payload)
	m.Header = make(map[string][]string)
	for i := 0; i+1 < len(pairs); i += 2 {
		m.Header[pairs[i]] = append(m.Header[pairs[i]], pairs[i+1])
	}
	return m
}

const oneGroup = `{"AutoScalingGroupId":"asg-shopweb1"}`

// group is the smallest request with more fields, given as JSON members.
func group(members string) string {
	return `{"AutoScalingGroupId":"asg-shopweb1",` + members + `}`
}

func text(n int) string { return strings.Repeat("x", n) }

// rule is one sentence of contract section 2. Field and says are empty where
// the request is allowed. The published schema must agree with every row,
// except where no schema can know: those rows are marked beyond. Those marked
// resume are published under as.refresh.resume.
type rule struct {
	name    string
	payload string
	field   string
	says    string
	beyond  bool
	resume  bool
}

func (r rule) message() stop.Message {
	m := bare(r.payload)
	if r.resume {
		m.Subject = stop.SubjectResume
	}
	return m
}

// many is a list of n targets, each of a group of its own.
func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,{"AutoScalingGroupId":"asg-%d"}`, i)
	}
	return `{"Targets":[` + b.String()[1:] + `]}`
}

// same is a list of n times the same target.
func same(n int) string {
	return `{"Targets":[` + strings.Repeat(`{"AutoScalingGroupId":"asg-a"},`, n-1) + `{"AutoScalingGroupId":"asg-a"}]}`
}

func rules() []rule {
	return []rule{
		{name: "a group is enough", payload: oneGroup},
		{name: "white space is free", payload: " \r\n\t" + oneGroup + "\n"},
		{name: "every field of a single target", payload: `{"Id":"a-1_B","Account":"shop_1","Region":"ap-shanghai-fsi","AutoScalingGroupId":"asg-shopweb1","RefreshActivityId":"asr-runweb01","MaxTargets":1,"Reason":"r","RequestedBy":"b","Incident":"i","NotAfter":"2026-11-23T05:00:00Z","DryRun":true,"AllowRollback":true}`},
		{name: "escapes in a name are the same name", payload: `{"\u0041utoScalingGroupId":"asg-shopweb1"}`},
		{name: "empty texts count as left out", payload: group(`"Id":"","Account":"","Region":"","RefreshActivityId":"","Reason":"","RequestedBy":"","Incident":""`)},

		{name: "not JSON", payload: `pause it`, says: "not JSON"},
		{name: "empty", payload: ``, says: "empty"},
		{name: "white space only", payload: " \n", says: "empty"},
		{name: "cut off", payload: `{"AutoScalingGroupId":"asg-sho`, says: "not JSON"},
		{name: "single quotes", payload: `{'AutoScalingGroupId':'asg-shopweb1'}`, says: "not JSON"},
		{name: "trailing comma", payload: `{"AutoScalingGroupId":"asg-shopweb1",}`, says: "not JSON"},
		{name: "trailing data", payload: oneGroup + ` x`, says: "not JSON"},
		{name: "two objects", payload: oneGroup + oneGroup, says: "not JSON"},
		{name: "byte order mark", payload: "\ufeff" + oneGroup, says: "not JSON"},
		{name: "a list", payload: `[` + oneGroup + `]`, says: "is a JSON array, not a JSON object"},
		{name: "a string", payload: `"asg-shopweb1"`, says: "is a JSON string, not a JSON object"},
		{name: "a number", payload: `12`, says: "is a JSON number, not a JSON object"},
		{name: "a bool", payload: `true`, says: "is a JSON bool, not a JSON object"},
		{name: "null", payload: `null`, says: "is null, not a JSON object"},
		{name: "no field at all", payload: `{}`, field: "AutoScalingGroupId", says: "is required"},

		{name: "unknown field", payload: group(`"Foo":1`), field: "Foo", says: "known are Id, Account"},
		{name: "unknown field of any depth", payload: group(`"Foo":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000)), field: "Foo", says: "not a field"},
		{name: "deeper than JSON is read at all", payload: group(`"Foo":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000)), says: "not JSON"},
		{name: "deep nesting in a known field", payload: group(`"Targets":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000)), field: "Targets", says: "JSON array"},
		{name: "wrong case of the first letter", payload: group(`"dryRun":true`), field: "dryRun", says: "did you mean DryRun?"},
		{name: "wrong case inside", payload: group(`"Dryrun":true`), field: "Dryrun", says: "did you mean DryRun?"},
		{name: "the API's other spelling", payload: `{"AutoScalingGroupID":"asg-shopweb1"}`, field: "AutoScalingGroupID", says: "did you mean AutoScalingGroupId?"},
		{name: "snake case", payload: `{"auto_scaling_group_id":"asg-shopweb1"}`, field: "auto_scaling_group_id", says: "not a field"},
		{name: "letters that fold to a known name", payload: group(`"Rea\u017fon":"x"`), field: "Rea\u017fon", says: "did you mean Reason?"},
		{name: "wrong case in Targets", payload: `{"Targets":[{"autoScalingGroupId":"asg-shopweb1"}]}`, field: "Targets.autoScalingGroupId", says: "did you mean AutoScalingGroupId?"},
		{name: "unknown field in Targets", payload: `{"Targets":[{"AutoScalingGroupId":"asg-shopweb1","DryRun":true}]}`, field: "Targets.DryRun", says: "not a field"},
		{name: "unknown field in Selector", payload: `{"Selector":{"Name":"web","Foo":1},"MaxTargets":1}`, field: "Selector.Foo", says: "not a field"},
		{name: "wrong case in Selector", payload: `{"Selector":{"name":"web"},"MaxTargets":1}`, field: "Selector.name", says: "did you mean Name?"},

		{name: "a name twice", payload: group(`"DryRun":true,"DryRun":false`), field: "DryRun", says: "stands twice", beyond: true},
		{name: "a name twice, once escaped", payload: group(`"DryRun":true,"\u0044ryRun":false`), field: "DryRun", says: "stands twice", beyond: true},
		{name: "a name twice in Targets", payload: `{"Targets":[{"AutoScalingGroupId":"asg-a","AutoScalingGroupId":"asg-b"}]}`, field: "Targets.AutoScalingGroupId", says: "stands twice", beyond: true},
		{name: "a tag twice", payload: `{"Selector":{"Tags":{"a":"1","a":"2"}},"MaxTargets":1}`, field: "Selector.Tags.a", says: "stands twice", beyond: true},
		{name: "the same name in two targets", payload: `{"Targets":[{"AutoScalingGroupId":"asg-a"},{"AutoScalingGroupId":"asg-b"}]}`},

		{name: "null for a bool", payload: group(`"DryRun":null`), field: "DryRun", says: "is null"},
		{name: "null for a string", payload: group(`"Reason":null`), field: "Reason", says: "is null"},
		{name: "null for a time", payload: group(`"NotAfter":null`), field: "NotAfter", says: "is null"},
		{name: "null for the list", payload: group(`"Targets":null`), field: "Targets", says: "is null"},
		{name: "null for the selector", payload: group(`"Selector":null`), field: "Selector", says: "is null"},
		{name: "null in the list", payload: `{"Targets":[null]}`, field: "Targets", says: "is null"},
		{name: "null in a target", payload: `{"Targets":[{"AutoScalingGroupId":"asg-a","Region":null}]}`, field: "Targets.Region", says: "is null"},
		{name: "null in a tag", payload: `{"Selector":{"Tags":{"a":null}},"MaxTargets":1}`, field: "Selector.Tags.a", says: "is null"},

		{name: "text for a bool", payload: group(`"DryRun":"true"`), field: "DryRun", says: "is a JSON string; want true or false"},
		{name: "number for a bool", payload: group(`"DryRun":1`), field: "DryRun", says: "want true or false"},
		{name: "text for AllowRollback", payload: group(`"AllowRollback":"no"`), field: "AllowRollback", says: "want true or false"},
		{name: "number for the Id", payload: group(`"Id":12`), field: "Id", says: "want a string"},
		{name: "object for the group", payload: `{"AutoScalingGroupId":{}}`, field: "AutoScalingGroupId", says: "is a JSON object; want a string"},
		{name: "list for the Reason", payload: group(`"Reason":["a"]`), field: "Reason", says: "want a string"},
		{name: "text for MaxTargets", payload: group(`"MaxTargets":"5"`), field: "MaxTargets", says: "want a whole number"},
		{name: "fraction for MaxTargets", payload: group(`"MaxTargets":1.5`), field: "MaxTargets", says: "is a JSON number 1.5; want a whole number"},
		{name: "exponent for MaxTargets", payload: group(`"MaxTargets":1e2`), field: "MaxTargets", says: "want a whole number", beyond: true},
		{name: "MaxTargets beyond every integer", payload: group(`"MaxTargets":99999999999999999999`), field: "MaxTargets", says: "want a whole number", beyond: true},
		{name: "MaxTargets written in very many digits", payload: group(`"MaxTargets":1` + strings.Repeat("0", 100_000)), field: "MaxTargets", says: "is a JSON number 1000", beyond: true},
		{name: "object for Targets", payload: `{"Targets":{}}`, field: "Targets", says: "want a list"},
		{name: "text in Targets", payload: `{"Targets":["asg-shopweb1"]}`, field: "Targets", says: "want an object"},
		{name: "list for Selector", payload: `{"Selector":[],"MaxTargets":1}`, field: "Selector", says: "want an object"},
		{name: "list for Tags", payload: `{"Selector":{"Tags":[]},"MaxTargets":1}`, field: "Selector.Tags", says: "want an object"},
		{name: "number for a tag", payload: `{"Selector":{"Tags":{"a":1}},"MaxTargets":1}`, field: "Selector.Tags", says: "want a string"},
		{name: "text for Regions", payload: `{"Selector":{"Regions":"ap-guangzhou"},"MaxTargets":1}`, field: "Selector.Regions", says: "want a list"},

		{name: "NotAfter in UTC", payload: group(`"NotAfter":"2026-11-23T05:00:00Z"`)},
		{name: "NotAfter with offset and fraction", payload: group(`"NotAfter":"2026-11-23T13:00:00.123456789+08:00"`)},
		{name: "NotAfter in the past is the handler's", payload: group(`"NotAfter":"2001-01-01T00:00:00Z"`)},
		{name: "NotAfter without zone", payload: group(`"NotAfter":"2026-11-23T05:00:00"`), field: "NotAfter", says: "RFC 3339"},
		{name: "NotAfter with a space", payload: group(`"NotAfter":"2026-11-23 05:00:00Z"`), field: "NotAfter", says: "RFC 3339"},
		{name: "NotAfter as a date", payload: group(`"NotAfter":"2026-11-23"`), field: "NotAfter", says: "RFC 3339"},
		{name: "NotAfter on a day that is none", payload: group(`"NotAfter":"2026-02-30T05:00:00Z"`), field: "NotAfter", says: "RFC 3339"},
		{name: "NotAfter with an offset of a day", payload: group(`"NotAfter":"2026-11-23T05:00:00+24:00"`), field: "NotAfter", says: "RFC 3339"},
		{name: "NotAfter empty", payload: group(`"NotAfter":""`), field: "NotAfter", says: "RFC 3339"},
		{name: "NotAfter as a number", payload: group(`"NotAfter":1795406400`), field: "NotAfter", says: "RFC 3339"},

		{name: "Id of 64", payload: group(`"Id":"` + text(64) + `"`)},
		{name: "Id that is hashed", payload: group(`"Id":"alert #7 / *.>"`)},
		{name: "Reason of 1 KiB", payload: group(`"Reason":"` + text(1024) + `"`)},
		{name: "Reason too long", payload: group(`"Reason":"` + text(1025) + `"`), field: "Reason", says: "1025 bytes long; at most 1024"},
		{name: "Reason too long in bytes only", payload: group(`"Reason":"` + strings.Repeat("好", 400) + `"`), field: "Reason", says: "1200 bytes", beyond: true},
		{name: "RequestedBy too long", payload: group(`"RequestedBy":"` + text(1025) + `"`), field: "RequestedBy", says: "at most 1024"},
		{name: "Incident too long", payload: group(`"Incident":"` + text(1025) + `"`), field: "Incident", says: "at most 1024"},
		{name: "MaxTargets zero is left out", payload: group(`"MaxTargets":0`)},
		{name: "MaxTargets negative", payload: group(`"MaxTargets":-1`), field: "MaxTargets", says: "must not be negative"},

		{name: "empty group", payload: `{"AutoScalingGroupId":""}`, field: "AutoScalingGroupId", says: "is required"},
		{name: "activity without its group", payload: `{"RefreshActivityId":"asr-runweb01"}`, field: "AutoScalingGroupId", says: "is required"},
		{name: "group of another kind", payload: `{"AutoScalingGroupId":"asr-shopweb1"}`, field: "AutoScalingGroupId", says: `"asr-shopweb1" is not allowed`},
		{name: "group in capitals", payload: `{"AutoScalingGroupId":"asg-SHOPWEB1"}`, field: "AutoScalingGroupId", says: "lower-case"},
		{name: "group without its rest", payload: `{"AutoScalingGroupId":"asg-"}`, field: "AutoScalingGroupId", says: "not allowed"},
		{name: "group with *", payload: `{"AutoScalingGroupId":"asg-*"}`, field: "AutoScalingGroupId", says: "not allowed"},
		{name: "group with >", payload: `{"AutoScalingGroupId":"asg-a.>"}`, field: "AutoScalingGroupId", says: "not allowed"},
		{name: "group with a dot", payload: `{"AutoScalingGroupId":"asg-a.b"}`, field: "AutoScalingGroupId", says: "not allowed"},
		{name: "group with a space", payload: `{"AutoScalingGroupId":"asg-a b"}`, field: "AutoScalingGroupId", says: "not allowed"},
		{name: "group with a space before", payload: `{"AutoScalingGroupId":" asg-a"}`, field: "AutoScalingGroupId", says: "not allowed"},
		{name: "group with a line end", payload: `{"AutoScalingGroupId":"asg-a\n"}`, field: "AutoScalingGroupId", says: `"asg-a\n" is not allowed`},
		{name: "group with NUL", payload: `{"AutoScalingGroupId":"asg-a\u0000"}`, field: "AutoScalingGroupId", says: `"asg-a\x00" is not allowed`},
		{name: "group beyond ASCII", payload: `{"AutoScalingGroupId":"asg-günther"}`, field: "AutoScalingGroupId", says: "not allowed"},
		{name: "group with digits beyond ASCII", payload: `{"AutoScalingGroupId":"asg-١٢"}`, field: "AutoScalingGroupId", says: "not allowed"},
		{name: "group of 32", payload: `{"AutoScalingGroupId":"asg-` + text(32) + `"}`},
		{name: "group of 33", payload: `{"AutoScalingGroupId":"asg-` + text(33) + `"}`, field: "AutoScalingGroupId", says: "not allowed"},
		{name: "group of 5 KB", payload: `{"AutoScalingGroupId":"asg-` + text(5000) + `"}`, field: "AutoScalingGroupId", says: "…"},
		{name: "activity of another kind", payload: group(`"RefreshActivityId":"asg-runweb01"`), field: "RefreshActivityId", says: "not allowed"},
		{name: "activity with *", payload: group(`"RefreshActivityId":"asr-*"`), field: "RefreshActivityId", says: "not allowed"},
		{name: "activity of 5 KB", payload: group(`"RefreshActivityId":"asr-` + text(5000) + `"`), field: "RefreshActivityId", says: "not allowed"},
		{name: "region with capitals", payload: group(`"Region":"AP-Guangzhou"`), field: "Region", says: "not allowed"},
		{name: "region that is a host name", payload: group(`"Region":"evil.example"`), field: "Region", says: "not allowed"},
		{name: "region that is a path", payload: group(`"Region":"ap-a/../b"`), field: "Region", says: "not allowed"},
		{name: "region of one part", payload: group(`"Region":"guangzhou"`), field: "Region", says: "a region such as ap-guangzhou"},
		{name: "region of five parts", payload: group(`"Region":"ap-a-b-c-d"`), field: "Region", says: "not allowed"},
		{name: "region with an empty part", payload: group(`"Region":"ap--a"`), field: "Region", says: "not allowed"},
		{name: "account with a dot", payload: group(`"Account":"a.b"`), field: "Account", says: "not allowed"},
		{name: "account of 33", payload: group(`"Account":"` + text(33) + `"`), field: "Account", says: "not allowed"},
		{name: "account beyond ASCII", payload: group(`"Account":"конто"`), field: "Account", says: "not allowed"},

		{name: "one target in the list", payload: `{"Targets":[{"AutoScalingGroupId":"asg-a"}]}`},
		{name: "two targets of two accounts", payload: `{"Targets":[{"Account":"a","Region":"ap-seoul","AutoScalingGroupId":"asg-a","RefreshActivityId":"asr-a"},{"AutoScalingGroupId":"asg-b"}]}`},
		{name: "Account and Region for all targets", payload: `{"Account":"shop","Region":"ap-seoul","Targets":[{"AutoScalingGroupId":"asg-a"},{"AutoScalingGroupId":"asg-b"}]}`},
		{name: "empty list", payload: `{"Targets":[]}`, field: "Targets", says: "is an empty list"},
		{name: "empty list beside a group", payload: group(`"Targets":[]`), field: "Targets", says: "is an empty list"},
		{name: "empty target", payload: `{"Targets":[{}]}`, field: "AutoScalingGroupId", says: "is required"},
		{name: "second target without group", payload: `{"Targets":[{"AutoScalingGroupId":"asg-a"},{"Region":"ap-seoul"}]}`, field: "Targets[1].AutoScalingGroupId", says: "is required"},
		{name: "second target with a bad activity", payload: `{"Targets":[{"AutoScalingGroupId":"asg-a"},{"AutoScalingGroupId":"asg-b","RefreshActivityId":"*"}]}`, field: "Targets[1].RefreshActivityId", says: "not allowed"},
		{name: "first target with a bad region", payload: `{"Targets":[{"AutoScalingGroupId":"asg-a","Region":"x"},{"AutoScalingGroupId":"asg-b"}]}`, field: "Targets[0].Region", says: "not allowed"},
		{name: "bad account for all targets", payload: `{"Account":"a b","Targets":[{"AutoScalingGroupId":"asg-a"},{"AutoScalingGroupId":"asg-b"}]}`, field: "Account", says: "not allowed"},
		{name: "bad account that no target uses", payload: `{"Account":"a b","Targets":[{"Account":"a","AutoScalingGroupId":"asg-a"},{"Account":"b","AutoScalingGroupId":"asg-b"}]}`, field: "Account", says: "not allowed"},
		{name: "bad region that no target uses", payload: `{"Region":"a b","Targets":[{"Region":"ap-seoul","AutoScalingGroupId":"asg-a"},{"Region":"ap-seoul","AutoScalingGroupId":"asg-b"}]}`, field: "Region", says: "not allowed"},
		{name: "list and group", payload: group(`"Targets":[{"AutoScalingGroupId":"asg-a"}]`), field: "Targets", says: "cannot be combined"},
		{name: "list and activity", payload: `{"RefreshActivityId":"asr-a","Targets":[{"AutoScalingGroupId":"asg-a"}]}`, field: "Targets", says: "cannot be combined"},
		{name: "list and an empty group", payload: `{"AutoScalingGroupId":"","Targets":[{"AutoScalingGroupId":"asg-a"}]}`},

		{name: "selector by name", payload: `{"Selector":{"Name":"web"},"MaxTargets":3}`},
		{name: "selector by everything", payload: `{"Selector":{"Account":"shop","Regions":["ap-guangzhou","ap-seoul"],"Tags":{"team":"shop","Targets":"x"},"Name":"web","LaunchConfigurationId":"asc-1"},"MaxTargets":3}`},
		{name: "selector empty", payload: `{"Selector":{},"MaxTargets":3}`, field: "Selector", says: "is empty"},
		{name: "selector of empty fields", payload: `{"Selector":{"Account":"","Regions":[],"Tags":{},"Name":"","LaunchConfigurationId":""},"MaxTargets":3}`, field: "Selector", says: "is empty"},
		{name: "selector without MaxTargets", payload: `{"Selector":{"Name":"web"}}`, field: "MaxTargets", says: "is required with a Selector"},
		{name: "selector with MaxTargets 0", payload: `{"Selector":{"Name":"web"},"MaxTargets":0}`, field: "MaxTargets", says: "is required with a Selector"},
		{name: "selector with MaxTargets negative", payload: `{"Selector":{"Name":"web"},"MaxTargets":-1}`, field: "MaxTargets", says: "must not be negative"},
		{name: "selector with a bad account", payload: `{"Selector":{"Account":"a b"},"MaxTargets":3}`, field: "Selector.Account", says: "not allowed"},
		{name: "selector with a bad region", payload: `{"Selector":{"Regions":["ap-seoul","*"]},"MaxTargets":3}`, field: "Selector.Regions[1]", says: "not allowed"},
		{name: "selector and group", payload: group(`"Selector":{"Name":"web"},"MaxTargets":3`), field: "Selector", says: "cannot be combined"},
		{name: "selector and activity", payload: `{"RefreshActivityId":"asr-a","Selector":{"Name":"web"},"MaxTargets":3}`, field: "Selector", says: "cannot be combined"},
		{name: "selector and an empty list", payload: `{"Targets":[],"Selector":{"Name":"web"},"MaxTargets":3}`, field: "Targets", says: "is an empty list"},
		{name: "selector and an empty group", payload: `{"AutoScalingGroupId":"","RefreshActivityId":"","Selector":{"Name":"web"},"MaxTargets":3}`},
		{name: "selector by account", payload: `{"Selector":{"Account":"shop"},"MaxTargets":3}`},
		{name: "selector by region", payload: `{"Selector":{"Regions":["ap-seoul"]},"MaxTargets":3}`},
		{name: "selector by the region of the request alone", payload: `{"Region":"ap-seoul","Selector":{},"MaxTargets":3}`, field: "Selector", says: "is empty"},
		{name: "selector by the account of the request alone", payload: `{"Account":"shop","Selector":{},"MaxTargets":3}`, field: "Selector", says: "is empty"},
		{name: "selector by a tag without a value", payload: `{"Selector":{"Tags":{"team":""}},"MaxTargets":3}`},
		{name: "selector by a tag without a key", payload: `{"Selector":{"Tags":{"":"shop"}},"MaxTargets":3}`, field: "Selector.Tags", says: "a tag without a key"},
		{name: "selector by a pattern", payload: `{"Selector":{"Name":"shop-*-[a-c]?\\*"},"MaxTargets":3}`},
		{name: "selector by a name beyond ASCII", payload: `{"Selector":{"Name":"网站-*"},"MaxTargets":3}`},
		{name: "selector with an open class", payload: `{"Selector":{"Name":"web-[a-"},"MaxTargets":3}`, field: "Selector.Name", says: `"web-[a-" is no pattern`, beyond: true},
		{name: "selector with an open class behind a star", payload: `{"Selector":{"Name":"*x*["},"MaxTargets":3}`, field: "Selector.Name", says: "is no pattern", beyond: true},
		{name: "selector with an empty class", payload: `{"Selector":{"Name":"[]"},"MaxTargets":3}`, field: "Selector.Name", says: "is no pattern", beyond: true},
		{name: "selector with a backslash at its end", payload: `{"Selector":{"Name":"web\\"},"MaxTargets":3}`, field: "Selector.Name", says: "is no pattern", beyond: true},
		{name: "selector with a long text that is no pattern", payload: `{"Selector":{"Name":"` + text(1000) + `["},"MaxTargets":3}`, field: "Selector.Name", says: "…", beyond: true},
		{name: "selector with a pattern of 1 KiB", payload: `{"Selector":{"Name":"` + text(1024) + `"},"MaxTargets":3}`},
		{name: "selector with a longer pattern", payload: `{"Selector":{"Name":"` + text(1025) + `"},"MaxTargets":3}`, field: "Selector.Name", says: "1025 bytes long; at most 1024"},
		{name: "selector with a pattern that is longer in bytes only", payload: `{"Selector":{"Name":"` + strings.Repeat("好", 400) + `"},"MaxTargets":3}`, field: "Selector.Name", says: "1200 bytes long", beyond: true},
		{name: "selector by a launch configuration of another kind", payload: `{"Selector":{"LaunchConfigurationId":"asg-1"},"MaxTargets":3}`, field: "Selector.LaunchConfigurationId", says: "want asc-"},
		{name: "selector by a launch configuration with *", payload: `{"Selector":{"LaunchConfigurationId":"asc-*"},"MaxTargets":3}`, field: "Selector.LaunchConfigurationId", says: "not allowed"},
		{name: "selector by a launch configuration of 33", payload: `{"Selector":{"LaunchConfigurationId":"asc-` + text(33) + `"},"MaxTargets":3}`, field: "Selector.LaunchConfigurationId", says: "not allowed"},
		{name: "selector with an empty region", payload: `{"Selector":{"Regions":[""]},"MaxTargets":3}`, field: "Selector.Regions[0]", says: "not allowed"},
		{name: "selector, with a bad region of the request", payload: `{"Region":"*","Selector":{"Name":"web"},"MaxTargets":3}`, field: "Region", says: "not allowed"},
		{name: "selector, with a bad account of the request", payload: `{"Account":"a b","Selector":{"Name":"web"},"MaxTargets":3}`, field: "Account", says: "not allowed"},
		{name: "selector for more than are ever allowed", payload: `{"Selector":{"Name":"web"},"MaxTargets":1000000}`},
		{name: "selector to resume", payload: `{"Selector":{"Name":"web"},"MaxTargets":3}`, resume: true},

		{name: "the same target twice", payload: same(2)},
		{name: "as many targets as are allowed", payload: many(stop.MaxTargets)},
		{name: "a target too many", payload: many(stop.MaxTargets + 1), field: "Targets", says: "has 10001 targets; at most 10000"},
		{name: "too many times the same target", payload: same(stop.MaxTargets + 1), field: "Targets", says: "has 10001 targets; at most 10000"},
		{name: "list that is too long and a group", payload: `{"AutoScalingGroupId":"asg-a",` + many(stop.MaxTargets + 1)[1:], field: "Targets", says: "cannot be combined"},
		{name: "the same bad target twice", payload: `{"Targets":[{"AutoScalingGroupId":"*"},{"AutoScalingGroupId":"*"}]}`, field: "Targets[0].AutoScalingGroupId", says: `"*" is not allowed`},

		{name: "resume a group", payload: oneGroup, resume: true},
		{name: "resume a list", payload: many(2), resume: true},
		{name: "resume and try again what failed", payload: group(`"ResumeMode":"RETRY"`), resume: true},
		{name: "resume and leave what failed", payload: group(`"ResumeMode":"CONTINUE"`), resume: true},
		{name: "resume in an empty mode", payload: group(`"ResumeMode":""`), resume: true},
		{name: "resume in a mode of another case", payload: group(`"ResumeMode":"retry"`), field: "ResumeMode", says: `"retry" is not allowed: want RETRY or CONTINUE`, resume: true},
		{name: "resume in a mode that is none", payload: group(`"ResumeMode":"` + text(5000) + `"`), field: "ResumeMode", says: "…", resume: true},
		{name: "resume in a mode that is a number", payload: group(`"ResumeMode":1`), field: "ResumeMode", says: "is a JSON number; want a string", resume: true},
		{name: "resume in a mode that is null", payload: group(`"ResumeMode":null`), field: "ResumeMode", says: "is null", resume: true},
		{name: "resume what another request has paused", payload: `{"Of":"deploy-4711"}`, resume: true},
		{name: "resume that with more fields", payload: `{"Id":"undo","Of":"` + text(64) + `","ResumeMode":"CONTINUE","MaxTargets":3,"Account":"shop","Region":"ap-seoul","DryRun":true,"Reason":"r"}`, resume: true},
		{name: "resume that, with an empty group", payload: `{"Of":"deploy-4711","AutoScalingGroupId":"","RefreshActivityId":""}`, resume: true},
		{name: "resume a group, with an empty Of", payload: group(`"Of":""`), resume: true},
		{name: "resume nothing", payload: `{}`, field: "AutoScalingGroupId", says: "is required", resume: true},
		{name: "resume of nothing", payload: `{"Of":""}`, field: "AutoScalingGroupId", says: "is required", resume: true},
		{name: "Of with a dot", payload: `{"Of":"a.b"}`, field: "Of", says: `"a.b" is no identity of a request`, resume: true},
		{name: "Of with a wildcard", payload: `{"Of":">"}`, field: "Of", says: "want letters, digits, - and _, at most 64", resume: true},
		{name: "Of of 65", payload: `{"Of":"` + text(65) + `"}`, field: "Of", says: "is no identity", resume: true},
		{name: "Of of 5 KB", payload: `{"Of":"` + text(5000) + `"}`, field: "Of", says: "…", resume: true},
		{name: "Of as a number", payload: `{"Of":7}`, field: "Of", says: "want a string", resume: true},
		{name: "Of as a list", payload: `{"Of":["a"]}`, field: "Of", says: "want a string", resume: true},
		{name: "Of as null", payload: `{"Of":null}`, field: "Of", says: "is null", resume: true},
		{name: "Of in another case", payload: `{"of":"a"}`, field: "of", says: "did you mean Of?", resume: true},
		{name: "Of with a bad account", payload: `{"Of":"a","Account":"a b"}`, field: "Account", says: "not allowed", resume: true},
		{name: "Of with a bad region", payload: `{"Of":"a","Region":"*"}`, field: "Region", says: "not allowed", resume: true},
		{name: "Of and group", payload: group(`"Of":"a"`), field: "Of", says: "cannot be combined", resume: true},
		{name: "Of and activity", payload: `{"RefreshActivityId":"asr-a","Of":"a"}`, field: "Of", says: "cannot be combined", resume: true},
		{name: "Of and a list", payload: `{"Targets":[{"AutoScalingGroupId":"asg-a"},{"AutoScalingGroupId":"asg-b"}],"Of":"a"}`, field: "Of", says: "cannot be combined", resume: true},
		{name: "Of and a list of one", payload: `{"Targets":[{"AutoScalingGroupId":"asg-a"}],"Of":"a"}`, field: "Of", says: "cannot be combined", resume: true},
		{name: "Of and a list of one empty target", payload: `{"Targets":[{}],"Of":"a"}`, field: "Of", says: "cannot be combined", resume: true},
		{name: "Of and an empty list", payload: `{"Targets":[],"Of":"a"}`, field: "Targets", says: "is an empty list", resume: true},
		{name: "Of and a selector", payload: `{"Selector":{"Name":"web"},"MaxTargets":3,"Of":"a"}`, field: "Of", says: "cannot be combined", resume: true},
		{name: "Of in a request to pause", payload: `{"Of":"a"}`, field: "Of", says: "is only for requests to resume, which are published under as.refresh.resume", beyond: true},
		{name: "Of and a group in a request to pause", payload: group(`"Of":"a"`), field: "Of", says: "is only for requests to resume"},
		{name: "a mode in a request to pause", payload: group(`"ResumeMode":"RETRY"`), field: "ResumeMode", says: "is only for requests to resume", beyond: true},
		{name: "a mode that is none in a request to pause", payload: group(`"ResumeMode":"x"`), field: "ResumeMode", says: "is only for requests to resume"},
		{name: "empty Of and mode in a request to pause", payload: group(`"Of":"","ResumeMode":""`)},
		{name: "selector and list", payload: `{"Targets":[{"AutoScalingGroupId":"asg-a"}],"Selector":{"Name":"web"},"MaxTargets":3}`, field: "Selector", says: "cannot be combined"},
	}
}

func TestContractSection2(t *testing.T) {
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			got, bad := stop.Decode(r.message(), defaults)
			if r.says == "" {
				if bad != nil {
					t.Fatalf("is refused: %v", bad)
				}
				return
			}
			if bad == nil {
				t.Fatalf("is accepted as %+v", got)
			}
			if bad.Field != r.field || !strings.Contains(bad.Error(), r.says) {
				t.Errorf("names the field %q and says %q; want %q and %q in it", bad.Field, bad, r.field, r.says)
			}
			if bad.Field != "" && !strings.HasPrefix(bad.Error(), bad.Field+" ") {
				t.Errorf("the message %q does not begin with its field %q", bad, bad.Field)
			}
			if len(bad.Error()) > 2*stop.MaxTextBytes {
				t.Errorf("the message is %d bytes long", len(bad.Error()))
			}
			if !stop.ValidID(got.ID) {
				t.Errorf("has the id %q, which cannot name a result", got.ID)
			}
		})
	}
}

// The result of an invalid request repeats what could be read of it, so
// nothing of the wrong shape or length may be left.
func TestInvalidRequestKeepsOnlyWhatMayBeRepeated(t *testing.T) {
	long := text(stop.MaxTextBytes - 1)
	bad := map[string]any{
		"Id": "kept", "Account": "a b", "Region": "*", "AutoScalingGroupId": "asg->", "RefreshActivityId": text(5000),
		"Reason": long + "好", "RequestedBy": long + "好", "Incident": "INC-1",
		"Of": "a.>", "ResumeMode": "PERHAPS",
	}
	with := func(members map[string]any) map[string]any {
		all := maps.Clone(bad)
		maps.Copy(all, members)
		return all
	}
	base := stop.Request{
		ID: "kept", Reason: long, RequestedBy: long, Incident: "INC-1", NotAfter: stored.Add(stop.DefaultLife),
		Action: stop.ActionStop, Lane: stop.LaneNormal, Source: stop.SourceJSON, Sequence: 7, RequestedAt: stored,
	}
	but := func(change func(*stop.Request)) stop.Request { r := base; change(&r); return r }
	// Refused before its life was known.
	resume := but(func(r *stop.Request) { r.Action, r.NotAfter = stop.ActionResume, time.Time{} })
	list := []map[string]any{{"AutoScalingGroupId": "*", "Region": text(5000)}, {"AutoScalingGroupId": "asg-a"}}
	lists := with(map[string]any{"AutoScalingGroupId": "", "RefreshActivityId": "", "Targets": list})
	for _, row := range []struct {
		name, subject string
		members       map[string]any
		want          stop.Request
	}{
		{"to pause", stop.SubjectStop, bad, base},
		{"to resume", stop.SubjectResume, bad, resume},
		{"several, to pause", stop.SubjectStop, lists, base},
		{"several, to resume", stop.SubjectResume, lists, resume},
		{"what another has paused", stop.SubjectResume, with(map[string]any{"AutoScalingGroupId": "", "RefreshActivityId": "", "Reason": "", "RequestedBy": ""}), but(func(r *stop.Request) {
			r.Action, r.Reason, r.RequestedBy = stop.ActionResume, "", ""
		})},
		{"a list of one", stop.SubjectStop, with(map[string]any{"AutoScalingGroupId": "", "RefreshActivityId": "", "Targets": list[:1]}), base},
		{"a selector", stop.SubjectStop, with(map[string]any{"Selector": map[string]any{"Account": "a b", "Name": "["}}), but(func(r *stop.Request) { r.NotAfter = time.Time{} })},
		{"what is only for requests to resume", stop.SubjectStop, with(map[string]any{"Of": "a", "ResumeMode": "RETRY"}), base},
		{"what may be repeated of a request to resume", stop.SubjectResume, with(map[string]any{"Of": "a", "ResumeMode": "CONTINUE"}), but(func(r *stop.Request) {
			r.Action, r.NotAfter, r.Of, r.ResumeMode = stop.ActionResume, time.Time{}, "a", stop.ResumeContinue
		})},
		{"an unknown field, so that nothing is checked", stop.SubjectResume, with(map[string]any{"Foo": 1, "Targets": list}), resume},
	} {
		t.Run(row.name, func(t *testing.T) {
			payload, err := json.Marshal(row.members)
			if err != nil {
				t.Fatal(err)
			}
			m := bare(string(payload))
			m.Subject = row.subject
			got, bad := stop.Decode(m, defaults)
			if diff := cmp.Diff(row.want, got); bad == nil || diff != "" {
				t.Errorf("invalid: %v, request (-want +got):\n%s", bad, diff)
			}
		})
	}
}

func TestInvalidIsAnError(t *testing.T) {
	_, bad := stop.Decode(bare(`{}`), defaults)
	found, ok := errors.AsType[*stop.Invalid](error(bad))
	if !ok || found.Field != "AutoScalingGroupId" {
		t.Errorf("got %v", found)
	}
	if got, want := (&stop.Invalid{Problem: "the payload is empty"}).Error(), "the payload is empty"; got != want {
		t.Errorf("without a field: got %q, want %q", got, want)
	}
}

func TestTooLarge(t *testing.T) {
	open, end := `{"AutoScalingGroupId":"asg-shopweb1"`, `}`
	fill := func(n int) string { return open + strings.Repeat(" ", n-len(open)-len(end)) + end }
	if _, bad := stop.Decode(bare(fill(stop.MaxRequestBytes)), defaults); bad != nil {
		t.Errorf("1 MiB is refused: %v", bad)
	}
	m := with(fill(stop.MaxRequestBytes+1), "Nats-Msg-Id", "large")
	got, bad := stop.Decode(m, defaults)
	if bad == nil || !strings.Contains(bad.Error(), "1048577 bytes") {
		t.Errorf("1 MiB and a byte: got %v", bad)
	}
	if got.ID != "large" || got.Source != stop.SourceUnreadable {
		t.Errorf("got id %q and source %q", got.ID, got.Source)
	}
}

func TestSeveral(t *testing.T) {
	for payload, want := range map[string]bool{
		oneGroup: false,
		`{"Targets":[{"AutoScalingGroupId":"asg-a"}]}`:                                false,
		`{"Targets":[{"AutoScalingGroupId":"asg-a"},{"AutoScalingGroupId":"asg-b"}]}`: true,
		// Whoever names two expects a summary.
		same(2): true,
		`{"Selector":{"Name":"web"},"MaxTargets":1}`: true,
		`{"Of":"deploy-4711"}`:                       true,
	} {
		got, bad := stop.Decode(rule{payload: payload, resume: true}.message(), defaults)
		if bad != nil || got.Several() != want {
			t.Errorf("%s: several %t, want %t (%v)", payload, got.Several(), want, bad)
		}
	}
}

// What is the same target, is decided when the defaults have been filled in.
func TestTargetsAreDistinct(t *testing.T) {
	a := stop.Target{Account: "default", Region: "ap-guangzhou", AutoScalingGroupID: "asg-a"}
	but := func(change func(*stop.Target)) stop.Target { other := a; change(&other); return other }
	b := but(func(t *stop.Target) { t.AutoScalingGroupID = "asg-b" })
	for _, row := range []struct {
		name, list string
		want       []stop.Target
	}{
		{"twice", `{"AutoScalingGroupId":"asg-a"},{"AutoScalingGroupId":"asg-a"}`, []stop.Target{a}},
		{"many times", strings.Repeat(`{"AutoScalingGroupId":"asg-a"},`, 500) + `{"AutoScalingGroupId":"asg-a"}`, []stop.Target{a}},
		{"twice, once with the defaults", `{"AutoScalingGroupId":"asg-a"},{"Account":"default","Region":"ap-guangzhou","AutoScalingGroupId":"asg-a"}`, []stop.Target{a}},
		{"the first place counts", `{"AutoScalingGroupId":"asg-b"},{"AutoScalingGroupId":"asg-a"},{"AutoScalingGroupId":"asg-b"}`, []stop.Target{b, a}},
		{"another account", `{"AutoScalingGroupId":"asg-a"},{"Account":"shop","AutoScalingGroupId":"asg-a"}`, []stop.Target{a, but(func(t *stop.Target) { t.Account = "shop" })}},
		{"another region", `{"AutoScalingGroupId":"asg-a"},{"Region":"ap-seoul","AutoScalingGroupId":"asg-a"}`, []stop.Target{a, but(func(t *stop.Target) { t.Region = "ap-seoul" })}},
		{"an activity of the group is another target", `{"AutoScalingGroupId":"asg-a"},{"AutoScalingGroupId":"asg-a","RefreshActivityId":"asr-a"}`, []stop.Target{a, but(func(t *stop.Target) { t.RefreshActivityID = "asr-a" })}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, bad := stop.Decode(bare(`{"Targets":[`+row.list+`]}`), defaults)
			if bad != nil {
				t.Fatal(bad)
			}
			if diff := cmp.Diff(row.want, got.Targets); diff != "" {
				t.Errorf("targets (-want +got):\n%s", diff)
			}
			if !got.Several() || got.Lane != stop.LaneBulk {
				t.Errorf("several: %t, lane %s; a list stays a list", got.Several(), got.Lane)
			}
		})
	}
}

func TestSelectorMatches(t *testing.T) {
	web := stop.Group{
		AutoScalingGroupID: "asg-shopweb1", Name: "shop-web-1", LaunchConfigurationID: "asc-web",
		Tags: map[string]string{"team": "shop", "tier": "web", "empty": ""},
	}
	for _, row := range []struct {
		name string
		s    stop.Selector
		want bool
	}{
		{"the name to the letter", stop.Selector{Name: "shop-web-1"}, true},
		{"the beginning of the name is not the name", stop.Selector{Name: "shop"}, false},
		{"the end of the name is not the name", stop.Selector{Name: "web-1"}, false},
		{"the name in another case", stop.Selector{Name: "Shop-Web-1"}, false},
		{"any name", stop.Selector{Name: "*"}, true},
		{"a beginning", stop.Selector{Name: "shop-*"}, true},
		{"an end", stop.Selector{Name: "*-1"}, true},
		{"a middle", stop.Selector{Name: "*web*"}, true},
		{"another middle", stop.Selector{Name: "*api*"}, false},
		{"one character", stop.Selector{Name: "shop-web-?"}, true},
		{"two characters", stop.Selector{Name: "shop-web-??"}, false},
		{"one of several", stop.Selector{Name: "shop-web-[0-3]"}, true},
		{"none of several", stop.Selector{Name: "shop-web-[^0-3]"}, false},
		{"a star that is meant", stop.Selector{Name: `shop\*`}, false},
		{"what is no pattern matches nothing", stop.Selector{Name: "["}, false},
		{"what is no pattern matches nothing, whatever goes before", stop.Selector{Name: "shop-*["}, false},

		{"a tag", stop.Selector{Tags: map[string]string{"team": "shop"}}, true},
		{"all tags", stop.Selector{Tags: map[string]string{"team": "shop", "tier": "web"}}, true},
		{"one tag of two", stop.Selector{Tags: map[string]string{"team": "shop", "tier": "api"}}, false},
		{"a tag that it has not", stop.Selector{Tags: map[string]string{"owner": "shop"}}, false},
		{"an empty tag", stop.Selector{Tags: map[string]string{"empty": ""}}, true},
		{"a tag that it has not is no empty one", stop.Selector{Tags: map[string]string{"owner": ""}}, false},
		{"a tag in another case", stop.Selector{Tags: map[string]string{"Team": "shop"}}, false},
		{"a tag is no pattern", stop.Selector{Tags: map[string]string{"team": "*"}}, false},

		{"the launch configuration", stop.Selector{LaunchConfigurationID: "asc-web"}, true},
		{"another launch configuration", stop.Selector{LaunchConfigurationID: "asc-api"}, false},

		{"all of it", stop.Selector{Name: "shop-*", Tags: map[string]string{"team": "shop"}, LaunchConfigurationID: "asc-web"}, true},
		{"all but the name", stop.Selector{Name: "api-*", Tags: map[string]string{"team": "shop"}, LaunchConfigurationID: "asc-web"}, false},
		{"all but the tag", stop.Selector{Name: "shop-*", Tags: map[string]string{"team": "api"}, LaunchConfigurationID: "asc-web"}, false},
		{"all but the launch configuration", stop.Selector{Name: "shop-*", Tags: map[string]string{"team": "shop"}, LaunchConfigurationID: "asc-api"}, false},
		// Where it looks is not for a group to say.
		{"account and regions", stop.Selector{Account: "shop", Regions: []string{"ap-seoul"}}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := row.s.Matches(web); got != row.want {
				t.Errorf("%+v matches: %t, want %t", row.s, got, row.want)
			}
		})
	}
	if (stop.Selector{Name: "?*"}).Matches(stop.Group{}) || (stop.Selector{Tags: map[string]string{"a": ""}}).Matches(stop.Group{}) {
		t.Error("a group of which nothing is known is taken for one with a name or a tag")
	}
}

func TestValidNames(t *testing.T) {
	for _, row := range []struct {
		what  string
		valid func(string) bool
		yes   []string
		no    []string
	}{
		{
			"id", stop.ValidID,
			[]string{"a", "-", "_", "A-z_09", text(64)},
			[]string{"", text(65), "a.b", "a b", "*", ">", "a\n", "a\x00", "ä", "a\xff", text(5000)},
		},
		{
			"account", stop.ValidAccount,
			[]string{"default", "team_a", "team-a", "A1", text(32)},
			[]string{"", text(33), "a.b", "a/b", "a\n", "ä", text(5000)},
		},
		{
			"region", stop.ValidRegion,
			[]string{"ap-guangzhou", "ap-shanghai-fsi", "na-siliconvalley", "ap-a-b-c", "ap-1"},
			[]string{"", "ap", "ap-", "-a", "ap_a", "apx-a", "AP-a", "ap-a.b", "ap-a\n", "ap-" + text(21), "{region}", text(5000)},
		},
	} {
		for _, s := range row.yes {
			if !row.valid(s) {
				t.Errorf("%s %q is refused", row.what, s)
			}
		}
		for _, s := range row.no {
			if row.valid(s) {
				t.Errorf("%s %.40q is allowed", row.what, s)
			}
		}
	}
}

func TestClip(t *testing.T) {
	for _, row := range []struct {
		name, in string
		n        int
		want     string
	}{
		{"short text stays", "abc", 3, "abc"},
		{"long text is cut", "abcd", 3, "abc"},
		{"a character is not cut in two", "a好b", 3, "a"},
		{"a character that fits stays", "a好b", 4, "a好"},
		{"nothing fits", "好", 2, ""},
		{"no room", "abc", 0, ""},
		{"bytes that are no character do not grow", "\xffa\xffa\xffa", 5, "?a?a?"},
		{"only the middle of characters", "\x80\x80\x80\x80", 2, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := stop.Clip(row.in, row.n)
			if got != row.want || len(got) > row.n {
				t.Errorf("got %q, want %q", got, row.want)
			}
			if len(row.in) > row.n && !utf8.ValidString(got) {
				t.Errorf("%q is not UTF-8", got)
			}
		})
	}
}
