package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// fileRow is a file and what is read from it: targets, or every fault.
type fileRow struct {
	name   string
	text   string
	want   []stop.Target
	faults []string
}

// ids are targets of which only the group is known.
func ids(groups ...string) (targets []stop.Target) {
	for _, g := range groups {
		targets = append(targets, stop.Target{AutoScalingGroupID: g})
	}
	return targets
}

const (
	wantGroup    = "is not allowed: want asg- and lower-case letters or digits"
	wantActivity = "is not allowed: want asr- and lower-case letters or digits"
	needsGroup   = "AutoScalingGroupId is required: asg- and lower-case letters or digits"
)

func targetFiles() []fileRow {
	whole := stop.Target{Account: "shop", Region: "ap-seoul", AutoScalingGroupID: "asg-a", RefreshActivityID: "asr-a"}
	inSeoul := stop.Target{Region: "ap-seoul", AutoScalingGroupID: "asg-a"}
	return []fileRow{
		{name: "ids, one a line", text: "asg-a\nasg-b\n", want: ids("asg-a", "asg-b")},
		{name: "ids, the last line without its end", text: "asg-a\nasg-b", want: ids("asg-a", "asg-b")},
		{name: "ids with spaces around", text: "  asg-a\t\n\tasg-b  \n", want: ids("asg-a", "asg-b")},
		{name: "ids with comments and blank lines", text: "# web\n\nasg-a\n \t\n  # db, \"quoted\nasg-b\n#", want: ids("asg-a", "asg-b")},
		{name: "ids with a byte order mark and CRLF", text: "\ufeffasg-a\r\n\r\nasg-b\r\n", want: ids("asg-a", "asg-b")},
		{name: "ids that stand twice count once", text: "asg-a\nasg-b\n asg-a\n", want: ids("asg-a", "asg-b")},
		{name: "ids of the wrong shape, with their lines", text: "asg-a\n\n# x\nasg_x\n" + "asg-B\n", faults: []string{
			`groups.csv:4: AutoScalingGroupId "asg_x" ` + wantGroup,
			`groups.csv:5: AutoScalingGroupId "asg-B" ` + wantGroup,
		}},
		{name: "an id of the wrong shape in the first line", text: "asg_x\nasg-a\n", faults: []string{`groups.csv:1: AutoScalingGroupId "asg_x" ` + wantGroup}},
		{name: "an id that was cut off is no header", text: "asg-\nasg-a\n", faults: []string{`groups.csv:1: AutoScalingGroupId "asg-" ` + wantGroup}},
		{name: "a group and its activity need a table", text: "asg-a asr-a\n", faults: []string{`groups.csv:1: AutoScalingGroupId "asg-a asr-a" ` + wantGroup}},
		{name: "a comment after an id", text: "asg-a # web\n", faults: []string{`groups.csv:1: AutoScalingGroupId "asg-a # web" ` + wantGroup}},
		{name: "an id in quotes", text: `"asg-a"`, faults: []string{`groups.csv:1: AutoScalingGroupId "\"asg-a\"" ` + wantGroup}},
		{name: "what a terminal would act on is not repeated", text: "asg-a\nasg-\x1b[2J\xff\n", faults: []string{`groups.csv:2: AutoScalingGroupId "asg-\x1b[2J\xff" ` + wantGroup}},

		{name: "a table of every column", text: "Account,Region,AutoScalingGroupId,RefreshActivityId\nshop,ap-seoul,asg-a,asr-a\n", want: []stop.Target{whole}},
		{name: "a table in another order", text: "RefreshActivityId,AutoScalingGroupId,Account,Region\nasr-a,asg-a,shop,ap-seoul\n", want: []stop.Target{whole}},
		{name: "a table of one column", text: "AutoScalingGroupId\nasg-a\nasg-b\n", want: ids("asg-a", "asg-b")},
		{name: "a table with empty fields", text: "Account,Region,AutoScalingGroupId,RefreshActivityId\n,,asg-a,\n", want: ids("asg-a")},
		{name: "columns in snake case", text: "account,region,auto_scaling_group_id,refresh_activity_id\nshop,ap-seoul,asg-a,asr-a\n", want: []stop.Target{whole}},
		{name: "columns in words", text: "ACCOUNT, region ,Auto Scaling-Group_ID,Refresh activity id\nshop,ap-seoul,asg-a,asr-a\n", want: []stop.Target{whole}},
		{name: "columns by their aliases", text: "asg,asr\nasg-a,asr-a\n", want: []stop.Target{{AutoScalingGroupID: "asg-a", RefreshActivityID: "asr-a"}}},
		{name: "columns by their other aliases", text: "Group,Activity\nasg-a,asr-a\n", want: []stop.Target{{AutoScalingGroupID: "asg-a", RefreshActivityID: "asr-a"}}},
		{name: "a table with semicolons", text: "Region;AutoScalingGroupId\nap-seoul;asg-a\n", want: []stop.Target{inSeoul}},
		{name: "a table with tabs", text: "Region\tAutoScalingGroupId\nap-seoul\tasg-a\n\tasg-b\n", want: append([]stop.Target{inSeoul}, ids("asg-b")...)},
		{name: "a table with tabs whose first column is unused", text: "Account\tAutoScalingGroupId\n\tasg-a\n\t#x\n  # y\n", faults: []string{`groups.csv:3: AutoScalingGroupId "#x" ` + wantGroup}},
		{name: "a table with a byte order mark and CRLF", text: "\ufeffRegion,AutoScalingGroupId\r\n\r\nap-seoul,asg-a\r\n", want: []stop.Target{inSeoul}},
		{name: "a table with comments and blank lines", text: "# for \"INC-1\", by hand\n\n \t# x\nRegion,AutoScalingGroupId\n# a\n  # don't use \"b\"\n\t#,c\n  \n\nap-seoul,asg-a\n#", want: []stop.Target{inSeoul}},
		{name: "a table with the empty rows of a spreadsheet", text: "Region,AutoScalingGroupId\nap-seoul,asg-a\n,\n\"\",\" \"\n", want: []stop.Target{inSeoul}},
		{name: "a table in quotes", text: "\"Region\",\"AutoScalingGroupId\"\n\"ap-seoul\", \"asg-a\"\n", want: []stop.Target{inSeoul}},
		{name: "a table with spaces around", text: "Region, AutoScalingGroupId\n ap-seoul , asg-a \n", want: []stop.Target{inSeoul}},
		{name: "a table whose rows stand twice", text: "asg,region\nasg-a,ap-seoul\nasg-a,ap-tokyo\nasg-a,ap-seoul\n", want: []stop.Target{inSeoul, {Region: "ap-tokyo", AutoScalingGroupID: "asg-a"}}},
		{name: "the same group with another activity stays", text: "asg,asr\nasg-a,asr-a\nasg-a,asr-b\nasg-a,\n", want: []stop.Target{
			{AutoScalingGroupID: "asg-a", RefreshActivityID: "asr-a"}, {AutoScalingGroupID: "asg-a", RefreshActivityID: "asr-b"}, {AutoScalingGroupID: "asg-a"},
		}},

		{name: "a column that is misspelt", text: "AutoScalingGroupId,RefreshActivtyId\nasg-a,asr-a\n", faults: []string{
			`groups.csv:1: column 2, "RefreshActivtyId", is not a field of a target; known are Account, Region, AutoScalingGroupId, RefreshActivityId`,
		}},
		{name: "a column that is misspelt hides no row", text: "\nAutoScalingGroupId,Foo\nasg_x,asr-a\n", faults: []string{
			`groups.csv:2: column 2, "Foo", is not a field of a target; known are Account, Region, AutoScalingGroupId, RefreshActivityId`,
			`groups.csv:3: AutoScalingGroupId "asg_x" ` + wantGroup,
		}},
		{name: "a column with a long name", text: "AutoScalingGroupId," + strings.Repeat("x", 5000) + "\nasg-a,\n", faults: []string{
			`groups.csv:1: column 2, "` + strings.Repeat("x", 80) + `…", is not a field of a target; known are Account, Region, AutoScalingGroupId, RefreshActivityId`,
		}},
		{name: "a column without a name", text: "AutoScalingGroupId,\nasg-a,\n", faults: []string{
			`groups.csv:1: column 2 has no name; known are Account, Region, AutoScalingGroupId, RefreshActivityId`,
		}},
		{name: "a column twice", text: "asg,Region,auto_scaling_group_id\nasg-a,ap-seoul,asg-b\n", faults: []string{
			`groups.csv:1: column 3, "auto_scaling_group_id", stands twice: column 1 is AutoScalingGroupId already`,
		}},
		{name: "a table without groups", text: "# x\nAccount,Region\nshop,*\n", faults: []string{
			`groups.csv:2: has no column AutoScalingGroupId, which is required`,
		}},
		{name: "a table without groups and with a column that may have meant them", text: "Region,AutoScalingGroup\nap-seoul,asg-a\n", faults: []string{
			`groups.csv:1: column 2, "AutoScalingGroup", is not a field of a target; known are Account, Region, AutoScalingGroupId, RefreshActivityId`,
			`groups.csv:1: has no column AutoScalingGroupId, which is required`,
		}},
		{name: "a table without a header", text: "asg-a,asr-a\nasg_x,asr-b\n", faults: []string{
			`groups.csv:1: "asg-a,asr-a" names no column; want a header with AutoScalingGroupId, or one id of a group a line; known are Account, Region, AutoScalingGroupId, RefreshActivityId`,
		}},
		{name: "a header in another place", text: "asg-a\nAutoScalingGroupId\n", faults: []string{`groups.csv:2: AutoScalingGroupId "AutoScalingGroupId" ` + wantGroup}},
		{name: "rows with too few and too many fields", text: "Region,AutoScalingGroupId\nasg-a\nap-seoul,asg-a\nap-seoul,asg-a,x\n", faults: []string{
			`groups.csv:2: the number of fields is 1; want 2 like the header`,
			`groups.csv:4: the number of fields is 3; want 2 like the header`,
		}},
		{name: "a row without a group", text: "Region,AutoScalingGroupId\nap-seoul,\n", faults: []string{`groups.csv:2: ` + needsGroup}},
		{name: "every fault of a row", text: "Account,Region,AutoScalingGroupId,RefreshActivityId\na b,*,asg_x,asg-a\n", faults: []string{
			`groups.csv:2: Account "a b" is not allowed: want letters, digits, - and _, at most 32`,
			`groups.csv:2: Region "*" is not allowed: want a region such as ap-guangzhou`,
			`groups.csv:2: AutoScalingGroupId "asg_x" ` + wantGroup,
			`groups.csv:2: RefreshActivityId "asg-a" ` + wantActivity,
		}},
		{name: "lines of fields that span lines", text: "Region,AutoScalingGroupId,asr\n\"ap-seoul\n\n\",\"asg-\na\",asg-a\n# x\n,asg_x,\n", faults: []string{
			`groups.csv:4: AutoScalingGroupId "asg-\na" ` + wantGroup,
			`groups.csv:5: RefreshActivityId "asg-a" ` + wantActivity,
			`groups.csv:7: AutoScalingGroupId "asg_x" ` + wantGroup,
		}},
		{name: "a comment within a quoted field is none", text: "asg,asr\n\"asg-a\n  # x\",asr-a\n", faults: []string{`groups.csv:2: AutoScalingGroupId "asg-a\n# x" ` + wantGroup}},
		{name: "a quote out of place", text: "# x\nRegion,AutoScalingGroupId\nap-seoul,asg\"-a\nap-seoul,asg_x\n", faults: []string{
			`groups.csv:3: is not CSV: bare " in non-quoted-field at line 3, column 13`,
			`groups.csv:4: AutoScalingGroupId "asg_x" ` + wantGroup,
		}},
		{name: "a quote that is not closed", text: "# x\nRegion,AutoScalingGroupId\nap-seoul,asg-a\nap-seoul,\"asg-b\nap-seoul,asg-c\n", faults: []string{
			`groups.csv:4: is not CSV: extraneous or missing " in quoted-field at line 5, column 16`,
		}},
		{name: "a header with a quote out of place", text: "\nRegion,Auto\"ScalingGroupId\nap-seoul,asg-a\n", faults: []string{
			`groups.csv:2: is not CSV: bare " in non-quoted-field at line 2, column 12`,
		}},

		{name: "JSON lines", text: "{\"AutoScalingGroupId\":\"asg-b\"}\n\n \t{ \"Account\":\"shop\", \"Region\":\"ap-seoul\", \"AutoScalingGroupId\":\"asg-a\", \"RefreshActivityId\":\"asr-a\" } ", want: append(ids("asg-b"), whole)},
		{name: "JSON lines with a byte order mark and CRLF", text: "\ufeff\r\n{\"AutoScalingGroupId\":\"asg-a\"}\r\n{\"AutoScalingGroupId\":\"asg-b\"}\r\n", want: ids("asg-a", "asg-b")},
		{name: "JSON lines that mean the same", text: "{\"AutoScalingGroupId\":\"asg-a\"}\n{\"Region\":\"\",\"\\u0041utoScalingGroupId\":\"asg-\\u0061\"}\n", want: ids("asg-a")},
		{name: "JSON names to the letter", text: "{\"AutoScalingGroupId\":\"asg-a\"}\n{\"AutoScalingGroupID\":\"asg-a\"}\n{\"auto_scaling_group_id\":\"asg-a\"}\n{\"AutoScalingGroupId\":\"asg-a\",\"Foo\\u001b\":[{}]}\n", faults: []string{
			`groups.csv:2: "AutoScalingGroupID" is not a field of a target; did you mean AutoScalingGroupId?`,
			`groups.csv:3: "auto_scaling_group_id" is not a field of a target; known are Account, Region, AutoScalingGroupId, RefreshActivityId`,
			`groups.csv:4: "Foo\x1b" is not a field of a target; known are Account, Region, AutoScalingGroupId, RefreshActivityId`,
		}},
		{name: "JSON names twice", text: "\n{\"AutoScalingGroupId\":\"asg-a\",\"AutoScalingGroupId\":\"asg-a\"}\n{\"AutoScalingGroupId\":\"asg-a\",\"\\u0041utoScalingGroupId\":\"asg-b\"}\n", faults: []string{
			`groups.csv:2: "AutoScalingGroupId" stands twice in its object`,
			`groups.csv:3: "AutoScalingGroupId" stands twice in its object`,
		}},
		{name: "JSON null", text: "{\"AutoScalingGroupId\":\"asg-a\",\"Region\":null}\n{\"AutoScalingGroupId\":null}\nnull\n", faults: []string{
			`groups.csv:1: Region is null; leave it out instead`,
			`groups.csv:2: AutoScalingGroupId is null; leave it out instead`,
			`groups.csv:3: is null; want an object`,
		}},
		{name: "JSON of other types", text: "{\"AutoScalingGroupId\":7}\n{\"AutoScalingGroupId\":[\"asg-a\"]}\n{\"AutoScalingGroupId\":{}}\n{\"AutoScalingGroupId\":true}\n[{}]\n\"asg-a\"\n-1\nfalse\n", faults: []string{
			`groups.csv:1: AutoScalingGroupId is a JSON number; want a string`,
			`groups.csv:2: AutoScalingGroupId is a JSON array; want a string`,
			`groups.csv:3: AutoScalingGroupId is a JSON object; want a string`,
			`groups.csv:4: AutoScalingGroupId is a JSON bool; want a string`,
			`groups.csv:5: is a JSON array; want an object`,
			`groups.csv:6: is a JSON string; want an object`,
			`groups.csv:7: is a JSON number; want an object`,
			`groups.csv:8: is a JSON bool; want an object`,
		}},
		{name: "every fault of an object", text: "{}\n{\"Account\":\"a b\",\"Region\":\"*\",\"region\":\"*\",\"RefreshActivityId\":\"x\"}\n{\"Region\":\"*\"}\n", faults: []string{
			`groups.csv:1: ` + needsGroup,
			`groups.csv:2: Account "a b" is not allowed: want letters, digits, - and _, at most 32`,
			`groups.csv:2: Region "*" is not allowed: want a region such as ap-guangzhou`,
			`groups.csv:2: "region" is not a field of a target; did you mean Region?`,
			`groups.csv:2: RefreshActivityId "x" ` + wantActivity,
			`groups.csv:3: Region "*" is not allowed: want a region such as ap-guangzhou`,
			`groups.csv:3: ` + needsGroup,
		}},
		{name: "JSON strings are not trimmed", text: `{"AutoScalingGroupId":" asg-a"}`, faults: []string{`groups.csv:1: AutoScalingGroupId " asg-a" ` + wantGroup}},
		{name: "JSON that spans lines", text: "{\n\"AutoScalingGroupId\":\"asg-a\"}\n", faults: []string{
			`groups.csv:1: is not JSON: unexpected end of JSON input; want one object a line`,
			`groups.csv:2: is not JSON: invalid character ':' after top-level value; want one object a line`,
		}},
		{name: "two objects in a line", text: `{"AutoScalingGroupId":"asg-a"}{"AutoScalingGroupId":"asg-b"}`, faults: []string{
			`groups.csv:1: is not JSON: invalid character '{' after top-level value; want one object a line`,
		}},
		{name: "JSON knows no comments", text: "# x\n{\"AutoScalingGroupId\":\"asg-a\"}\n", faults: []string{
			`groups.csv:1: is not JSON: invalid character '#' looking for beginning of value; want one object a line`,
		}},
		{name: "deeper than JSON is read at all", text: `{"Foo":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, faults: []string{
			`groups.csv:1: is not JSON: invalid character '[' exceeded max depth; want one object a line`,
		}},
		{name: "a JSON array", text: "\n [{\"AutoScalingGroupId\":\"asg-a\"}]\n", faults: []string{
			`groups.csv:2: is a JSON array; want one object a line, as jq -c '.[]' writes them`,
		}},
		{name: "ids among JSON lines", text: "{\"AutoScalingGroupId\":\"asg-a\"}\nasg-b\n", faults: []string{
			`groups.csv:2: is not JSON: invalid character 'a' looking for beginning of value; want one object a line`,
		}},

		{name: "an empty file", text: "", faults: []string{"groups.csv: names no group"}},
		{name: "a byte order mark alone", text: "\ufeff", faults: []string{"groups.csv: names no group"}},
		{name: "only comments", text: "# asg-a\n\n  # asg-b", faults: []string{"groups.csv: names no group"}},
		{name: "only a header", text: "Account,AutoScalingGroupId\n# asg-a\n,\n", faults: []string{"groups.csv: names no group"}},
		{name: "as many faults as are told", text: strings.Repeat("x\n", 20), faults: repeated(20)},
		{name: "a fault more than are told", text: strings.Repeat("x\n", 21), faults: append(repeated(20), "groups.csv: 1 more fault")},
		{name: "many faults more than are told", text: strings.Repeat("x\n", 152), faults: append(repeated(20), "groups.csv: 132 more faults")},
		{name: "a line that is too long", text: "asg-a\n#" + strings.Repeat("x", maxLine) + "\nasg_x\n", faults: []string{"groups.csv:2: is longer than 1 MiB, too long for a line of a list of groups"}},
		{name: "a line that is just not too long", text: "asg-a\n#" + strings.Repeat("x", maxLine-1) + "\r\n", want: ids("asg-a")},
		{name: "as many groups as are allowed", text: numbered(stop.MaxTargets) + "asg-1\n", want: ids(strings.Fields(numbered(stop.MaxTargets))...)},
		{name: "too many groups", text: numbered(12000), faults: []string{"groups.csv: names 12000 groups; at most 10000 are allowed in one request, split it"}},
		{name: "too many groups and another fault", text: numbered(12000) + "x\n", faults: []string{
			`groups.csv:12001: AutoScalingGroupId "x" ` + wantGroup,
			"groups.csv: names 12000 groups; at most 10000 are allowed in one request, split it",
		}},
	}
}

func repeated(n int) (faults []string) {
	for i := range n {
		faults = append(faults, fmt.Sprintf(`groups.csv:%d: AutoScalingGroupId "x" %s`, i+1, wantGroup))
	}
	return faults
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "asg-%d\n", i)
	}
	return b.String()
}

func TestReadTargets(t *testing.T) {
	for _, row := range targetFiles() {
		t.Run(row.name, func(t *testing.T) {
			got, err := readTargets("groups.csv", iotest.HalfReader(strings.NewReader(row.text)))
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("targets (-want +got):\n%s", diff)
			}
			var faults []string
			if err != nil {
				faults = strings.Split(err.Error(), "\n")
			}
			if diff := cmp.Diff(row.faults, faults); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

// blanks is a file that never ends; it counts what is read of it.
type blanks struct{ read int }

func (b *blanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '\n'
	}
	b.read += len(p)
	return len(p), nil
}

func TestReadTargetsReadsNoMoreThanItTakes(t *testing.T) {
	const id = "asg-a\n"
	got, err := readTargets("groups.csv", io.MultiReader(strings.NewReader(id), io.LimitReader(new(blanks), int64(maxFile-len(id)))))
	if diff := cmp.Diff(ids("asg-a"), got); err != nil || diff != "" {
		t.Errorf("of %d bytes: %v (-want +got):\n%s", maxFile, err, diff)
	}
	endless := new(blanks)
	got, err = readTargets("standard input", endless)
	if want := "standard input: is larger than 16 MiB, too large for a list of groups"; err == nil || err.Error() != want || got != nil {
		t.Errorf("of a file that never ends: %v, %v, want %s", got, err, want)
	}
	if endless.read > maxFile+1 {
		t.Errorf("reads %d bytes, want at most %d", endless.read, maxFile+1)
	}
}

func TestReadTargetsTellsWhatCannotBeRead(t *testing.T) {
	broken := errors.New("input/output error")
	got, err := readTargets("50%s.csv", io.MultiReader(strings.NewReader("asg-a\n"), iotest.ErrReader(broken)))
	if want := "50%s.csv: cannot be read: input/output error"; !errors.Is(err, broken) || err.Error() != want || got != nil {
		t.Errorf("got %v, %v, want %s", got, err, want)
	}
	if _, err := readTargets("50%s.csv", strings.NewReader("x")); err == nil || !strings.HasPrefix(err.Error(), "50%s.csv:1: ") {
		t.Errorf("got %v, want the name of the file as it is", err)
	}
}
