package stop

import (
	"regexp"
	"strings"
)

// Wildcard is a pattern for whole texts in which * stands for any text, and all else
// for itself. Its error is that the pattern is not UTF-8.
func Wildcard(pattern string) (*regexp.Regexp, error) {
	quoted := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*")
	return regexp.Compile("(?s)^" + quoted + "$")
}
