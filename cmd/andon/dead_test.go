package main

import (
	"fmt"
	"testing"

	"github.com/seed-a7c21902/andon/pkg/queue"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

func TestFiltersOfDeadLetters(t *testing.T) {
	t.Parallel()
	letter := queue.Letter{DeadLetter: stop.DeadLetter{
		Request: "INC-4711", Target: "asg-shopweb1-2", Why: stop.WhyFailed,
		Message: "InvalidParameter.Range: [1+1] a/b\nsecond line: timeout (5s)", Subject: "as.refresh.stop.urgent.team-a",
	}}
	for _, row := range []struct {
		name    string
		filters []string
		want    bool
	}{
		{"no filter", nil, true},

		{"the request", []string{"request=INC-4711"}, true},
		{"another request", []string{"request=INC-4712"}, false},
		{"the target", []string{"target=asg-shopweb1-2"}, true},
		{"another target", []string{"target=asg-shopweb1"}, false},
		{"why", []string{"why=failed"}, true},
		{"another why", []string{"why=invalid"}, false},
		{"the message", []string{"message=InvalidParameter.Range: [1+1] a/b\nsecond line: timeout (5s)"}, true},
		{"another message", []string{"message=x"}, false},
		{"the subject", []string{"subject=as.refresh.stop.urgent.team-a"}, true},
		{"another subject", []string{"subject=as.refresh.resume"}, false},

		{"several that all match", []string{"request=INC-*", "why=failed", "subject=*.urgent.*"}, true},
		{"several of which the last does not match", []string{"request=INC-*", "why=failed", "subject=*.bulk.*"}, false},
		{"several of which the first does not match", []string{"request=x", "why=failed"}, false},
		{"two of one field", []string{"message=Invalid*", "message=*timeout*"}, true},
		{"two of one field that exclude each other", []string{"why=failed", "why=panic"}, false},

		{"a beginning", []string{"request=INC-*"}, true},
		{"an end", []string{"request=*-4711"}, true},
		{"a middle", []string{"request=*C-4*"}, true},
		{"both ends", []string{"request=I*1"}, true},
		{"an end that is a middle", []string{"request=*-47"}, false},
		{"a beginning without a star", []string{"request=INC"}, false},
		{"a middle without stars", []string{"message=timeout"}, false},
		{"any text is also none", []string{"request=*INC-4711*", "request=INC-**4711"}, true},
		{"any text is also a line end", []string{"message=Invalid*timeout*"}, true},
		{"any text is also a slash", []string{"message=*a*b*"}, true},
		{"any text", []string{"message=*"}, true},
		{"the end of a line is not the end of the text", []string{"message=*a/b"}, false},
		{"nor its beginning that of the text", []string{"message=second line*"}, false},
		{"another case", []string{"request=inc-4711"}, false},
		{"nothing is no text", []string{"target="}, false},

		{"a dot is a dot", []string{"request=INC.4711"}, false},
		{"a dot stays one", []string{"message=InvalidParameter.Range*"}, true},
		{"no classes", []string{"why=[f]ailed"}, false},
		{"brackets stay", []string{"message=*[1+1]*"}, true},
		{"no alternatives", []string{"why=failed|panic"}, false},
		{"parentheses stay", []string{"message=*(5s)"}, true},
		{"no repetition", []string{"why=faile?d", "why=fai+led"}, false},
		{"no anchors", []string{"why=^failed$"}, false},
		{"no escapes", []string{`request=INC-\d\d\d\d`}, false},
		{"no end of a quotation", []string{`request=\EINC-*`}, false},
		{"a question mark is no pattern", []string{"request=INC-471?"}, false},
		{"an equals sign in the pattern", []string{"message=*=*"}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			match, err := matcher(row.filters)
			if err != nil {
				t.Fatal(err)
			}
			if got := match(letter); got != row.want {
				t.Errorf("%q matches: %t, want %t", row.filters, got, row.want)
			}
		})
	}
}

// What is there to be matched is literal too, whatever it looks like.
func TestFiltersOfStrangeLetters(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		filter, message string
		want            bool
	}{
		{"message=", "", true},
		{"message=*", "", true},
		{"message=", "x", false},
		{"message=a=b", "a=b", true},
		{"message=*=b", "a=b", true},
		{`message=a\*`, `a\x`, true},
		{`message=a\*`, "ax", false},
		{"message=.*", ".x", true},
		{"message=.*", "x", false},
		{"message=a$", "a$", true},
		{"message=a", "a\n", false},
		{"message=重*", "重启", true},
		{"message=*", "\xff\xfe", true},
		{"message=a*b", "a\xff\u2028\r\nb", true},
	} {
		match, err := matcher([]string{row.filter})
		if err != nil {
			t.Errorf("%q: %v", row.filter, err)
			continue
		}
		if got := match(queue.Letter{DeadLetter: stop.DeadLetter{Message: row.message}}); got != row.want {
			t.Errorf("%q matches %q: %t, want %t", row.filter, row.message, got, row.want)
		}
	}
}

func TestFiltersThatAreNone(t *testing.T) {
	t.Parallel()
	for _, filter := range []string{"", "failed", "=failed", "whyfailed", "Why=failed", "WHY=failed", " why=failed", "why =failed", "worker=w", "Request=r", "request*=r", "header=x", "message=\xff"} {
		match, err := matcher([]string{"request=r", filter})
		if match != nil {
			t.Errorf("%q is taken for a filter", filter)
		}
		checkUsage(t, err, fmt.Sprintf("--filter %q", filter), "why=failed", "request, target, why, message, subject")
	}
}
