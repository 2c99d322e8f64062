package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// A request of stop.MaxTargets targets needs about 1 MiB, so what is larger than
// these is not a list of groups.
const (
	maxFile = 16 << 20
	maxLine = 1 << 20
)

// maxFaults is how many faults of a file are told one by one.
const maxFaults = 20

// targetField is a field of a target and how files may name it.
type targetField struct {
	name string
	// aliases are for headers alone, see plainName.
	aliases []string
	of      func(*stop.Target) *string
}

const groupField = "AutoScalingGroupId"

var targetFields = []targetField{
	{"Account", nil, func(t *stop.Target) *string { return &t.Account }},
	{"Region", nil, func(t *stop.Target) *string { return &t.Region }},
	{groupField, []string{"asg", "group"}, func(t *stop.Target) *string { return &t.AutoScalingGroupID }},
	{"RefreshActivityId", []string{"asr", "activity"}, func(t *stop.Target) *string { return &t.RefreshActivityID }},
}

const knownFields = "known are Account, Region, AutoScalingGroupId, RefreshActivityId"

// readTargets reads the groups that a file names: a CSV table with a header,
// JSON objects, one a line, or ids of groups, one a line. The content says
// which. The name is for errors. If anything is wrong, all of it is told and
// nothing returned: half of a list is another list.
func readTargets(name string, r io.Reader) ([]stop.Target, error) {
	var text strings.Builder
	if _, err := io.Copy(&text, io.LimitReader(r, maxFile+1)); err != nil {
		return nil, fmt.Errorf("%s: cannot be read: %w", name, err)
	}
	if text.Len() > maxFile {
		return nil, fmt.Errorf("%s: is larger than %d MiB, too large for a list of groups", name, maxFile>>20)
	}
	f := targetFile{name: name, seen: make(map[stop.Target]bool)}
	f.read(strings.TrimPrefix(text.String(), "\ufeff"))
	if n := len(f.targets); n > stop.MaxTargets {
		f.fault(0, "names %d groups; at most %d are allowed in one request, split it", n, stop.MaxTargets)
	}
	if n := len(f.targets); n == 0 && len(f.faults) == 0 {
		f.fault(0, "names no group")
	}
	if len(f.faults) > 0 {
		return nil, f.err()
	}
	return f.targets, nil
}

// targetFile collects what a file names and what is wrong with it.
type targetFile struct {
	name    string
	targets []stop.Target
	seen    map[stop.Target]bool
	faults  []error
	more    int
}

// fault notes what is wrong, with line 0 about the file as a whole.
func (f *targetFile) fault(line int, format string, args ...any) {
	if len(f.faults) == maxFaults {
		f.more++
		return
	}
	where := f.name
	if line > 0 {
		where = fmt.Sprintf("%s:%d", f.name, line)
	}
	f.faults = append(f.faults, fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...)))
}

func (f *targetFile) err() error {
	faults := f.faults
	if f.more > 0 {
		faults = append(faults, fmt.Errorf("%s: %s", f.name, count(f.more, "more fault")))
	}
	return errors.Join(faults...)
}

func (f *targetFile) read(text string) {
	n := 0
	for line := range strings.Lines(text) {
		if n++; len(strings.TrimRight(line, "\r\n")) > maxLine {
			f.fault(n, "is longer than %d MiB, too long for a line of a list of groups", maxLine>>20)
			return
		}
	}
	head, number, offset := headOf(text)
	sep, isHeader := separatorOf(head)
	switch {
	case head == "":
	case head[0] == '[':
		f.fault(number, "is a JSON array; want one object a line, as jq -c '.[]' writes them")
	case head[0] == '{':
		f.readObjects(text)
	case isHeader:
		f.readTable(text[offset:], sep, number-1)
	case strings.ContainsAny(head, ",;\t"):
		f.fault(number, "%s names no column; want a header with %s, or one id of a group a line; %s", quote(head), groupField, knownFields)
	default:
		f.readIDs(text)
	}
}

// headOf finds the line that says what a file is: the first that is neither
// blank nor a comment.
func headOf(text string) (head string, number, offset int) {
	for line := range strings.Lines(text) {
		number++
		if head = strings.TrimSpace(line); !skipped(head) {
			return head, number, offset
		}
		offset += len(line)
	}
	return "", 0, 0
}

// skipped reports whether a line says nothing in tables and lists.
func skipped(line string) bool { return line == "" || line[0] == '#' }

// separatorOf finds what separates the columns of a header, if it is one.
func separatorOf(head string) (sep rune, isHeader bool) {
	// Ignoring the hyphen, an id that was cut off would name a column.
	if strings.HasPrefix(strings.ToLower(head), "asg-") {
		return 0, false
	}
	most := 0
	for _, s := range ",;\t" {
		known := 0
		for name := range strings.SplitSeq(head, string(s)) {
			if fieldOfColumn(strings.Trim(name, `" `)) != nil {
				known++
			}
		}
		if known > most {
			sep, most = s, known
		}
	}
	return sep, most > 0
}

func fieldOfColumn(name string) *targetField {
	name = plainName(name)
	for i, field := range targetFields {
		if name == plainName(field.name) || slices.Contains(field.aliases, name) {
			return &targetFields[i]
		}
	}
	return nil
}

var marks = strings.NewReplacer("_", "", "-", "", " ", "")

func plainName(s string) string { return marks.Replace(strings.ToLower(s)) }

// Comments may be indented, which encoding/csv does not know. In a table with
// tabs, a tab is an empty field and no indent.
var (
	indented       = regexp.MustCompile(`(?m)^[ \t]+#`)
	indentedInTabs = regexp.MustCompile(`(?m)^ +#`)
)

// readTable reads a table that follows so many lines of the file.
func (f *targetFile) readTable(text string, sep rune, before int) {
	indent := indented
	if sep == '\t' {
		indent = indentedInTabs
	}
	// Where this changes a quoted field, it is one of many lines and refused.
	r := csv.NewReader(strings.NewReader(indent.ReplaceAllString(text, "#")))
	r.Comma, r.Comment, r.TrimLeadingSpace, r.ReuseRecord = sep, '#', sep != '\t', true
	header, err := r.Read()
	if err != nil {
		f.csvFault(before, err)
		return
	}
	columns := f.readHeader(before+1, header)
	if columns == nil {
		return
	}
	for {
		record, err := r.Read()
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil && !errors.Is(err, csv.ErrFieldCount):
			f.csvFault(before, err)
			continue
		// Spreadsheets write empty rows as separators alone.
		case strings.TrimSpace(strings.Join(record, "")) == "":
			continue
		}
		line, _ := r.FieldPos(0)
		if err != nil {
			f.fault(before+line, "the number of fields is %d; want %d like the header", len(record), len(columns))
			continue
		}
		var t stop.Target
		for i, field := range columns {
			if field != nil {
				line, _ := r.FieldPos(i)
				f.set(&t, *field, strings.TrimSpace(record[i]), before+line)
			}
		}
		f.keep(t)
	}
}

// readHeader finds the field of each column, nil where there is none. Without
// that of the group nothing is returned, for all rows would lack it.
func (f *targetFile) readHeader(line int, header []string) []*targetField {
	columns := make([]*targetField, len(header))
	first := make(map[string]int)
	for i, name := range header {
		name = strings.TrimSpace(name)
		field := fieldOfColumn(name)
		switch {
		case name == "":
			f.fault(line, "column %d has no name; %s", i+1, knownFields)
		case field == nil:
			f.fault(line, "column %d, %s, is not a field of a target; %s", i+1, quote(name), knownFields)
		case first[field.name] > 0:
			f.fault(line, "column %d, %s, stands twice: column %d is %s already", i+1, quote(name), first[field.name], field.name)
		default:
			columns[i], first[field.name] = field, i+1
		}
	}
	if first[groupField] == 0 {
		f.fault(line, "has no column %s, which is required", groupField)
		return nil
	}
	return columns
}

// csvFault says where a record begins, which is where to look for the quote
// that was never closed, and where it was given up.
func (f *targetFile) csvFault(before int, err error) {
	p, ok := errors.AsType[*csv.ParseError](err)
	if !ok {
		f.fault(before+1, "is not CSV: %v", err)
		return
	}
	f.fault(before+p.StartLine, "is not CSV: %v at line %d, column %d", p.Err, before+p.Line, p.Column)
}

func (f *targetFile) readObjects(text string) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		if line = strings.TrimSpace(line); line != "" {
			f.readObject(n, line)
		}
	}
}

// readObject reads a target to the letter, as stop.Decode does: encoding/json
// alone would take "region" for Region, and the last of two.
func (f *targetFile) readObject(n int, line string) {
	if err := json.Unmarshal([]byte(line), new(json.RawMessage)); err != nil {
		f.fault(n, "is not JSON: %v; want one object a line", err)
		return
	}
	if line[0] != '{' {
		f.fault(n, "is %s; want an object", kindOf(line))
		return
	}
	var t stop.Target
	seen := make(map[string]bool)
	missing := true
	err := eachMember(line, func(name string, value json.RawMessage) {
		field := fieldOfName(name)
		switch {
		case seen[name]:
			f.fault(n, "%s stands twice in its object", quote(name))
		case field == nil:
			missing = false // It may be the one that is misspelt.
			f.fault(n, "%s is not a field of a target; %s", quote(name), meant(name))
		case string(value) == "null":
			f.fault(n, "%s is null; leave it out instead", name)
		case value[0] != '"':
			f.fault(n, "%s is %s; want a string", name, kindOf(string(value)))
		default:
			var s string
			if err := json.Unmarshal(value, &s); err != nil {
				f.fault(n, "%s is not JSON: %v", name, err)
				break
			}
			f.set(&t, *field, s, n)
		}
		seen[name] = true
	})
	if err != nil {
		f.fault(n, "is not JSON: %v", err)
		return
	}
	if missing && !seen[groupField] {
		f.set(&t, *fieldOfName(groupField), "", n)
	}
	f.keep(t)
}

// eachMember visits the members of an object in their order, also those that
// stand twice.
func eachMember(object string, visit func(name string, value json.RawMessage)) error {
	dec := json.NewDecoder(strings.NewReader(object))
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		name, _ := tok.(string)
		visit(name, value)
	}
	return nil
}

func fieldOfName(name string) *targetField {
	for i, field := range targetFields {
		if field.name == name {
			return &targetFields[i]
		}
	}
	return nil
}

func meant(name string) string {
	for _, field := range targetFields {
		if strings.EqualFold(field.name, name) {
			return "did you mean " + field.name + "?"
		}
	}
	return knownFields
}

func kindOf(value string) string {
	switch value[0] {
	case '{':
		return "a JSON object"
	case '[':
		return "a JSON array"
	case '"':
		return "a JSON string"
	case 't', 'f':
		return "a JSON bool"
	case 'n':
		return "null"
	default:
		return "a JSON number"
	}
}

func (f *targetFile) readIDs(text string) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		if line = strings.TrimSpace(line); !skipped(line) {
			var t stop.Target
			f.set(&t, *fieldOfName(groupField), line, n)
			f.keep(t)
		}
	}
}

// set puts a value into a target or says what is wrong with it. Each is checked
// alone: of a whole target Check tells only the first fault.
func (f *targetFile) set(t *stop.Target, field targetField, value string, line int) {
	alone := stop.Target{AutoScalingGroupID: "asg-a"}
	*field.of(&alone) = value
	if bad := alone.Check(); bad != nil {
		f.fault(line, "%v", bad)
		return
	}
	*field.of(t) = value
}

func (f *targetFile) keep(t stop.Target) {
	if t.AutoScalingGroupID != "" && !f.seen[t] {
		f.seen[t] = true
		f.targets = append(f.targets, t)
	}
}

// quote shows a value from outside in a message: bounded, and printable.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		s = stop.Clip(s, most) + "…"
	}
	return fmt.Sprintf("%q", s)
}
