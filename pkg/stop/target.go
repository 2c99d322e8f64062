package stop

import "regexp"

// Target names one group and, where known, its activity.
type Target struct {
	Account            string `json:"Account,omitempty"`
	Region             string `json:"Region,omitempty"`
	AutoScalingGroupID string `json:"AutoScalingGroupId,omitempty"`
	RefreshActivityID  string `json:"RefreshActivityId,omitempty"`
}

// The API promises neither the length nor the alphabet of its ids beyond its
// examples (eight lower-case alphanumerics), so the check is about what may
// enter a subject, a host name or a log line, and the API judges the rest.
var (
	groupPattern    = regexp.MustCompile(`^asg-[a-z0-9]{1,32}$`)
	activityPattern = regexp.MustCompile(`^asr-[a-z0-9]{1,32}$`)
	launchPattern   = regexp.MustCompile(`^asc-[a-z0-9]{1,32}$`)
	regionPattern   = regexp.MustCompile(`^[a-z]{2}(-[a-z0-9]{1,20}){1,3}$`)
	accountPattern  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
)

const (
	wantAccount = "letters, digits, - and _, at most 32"
	wantRegion  = "a region such as ap-guangzhou"
)

// ValidAccount reports whether s can be the name of an account.
func ValidAccount(s string) bool { return accountPattern.MatchString(s) }

// ValidRegion reports whether s has the shape of a region such as
// ap-guangzhou or ap-shanghai-fsi. Whether the region exists, the API knows.
func ValidRegion(s string) bool { return regionPattern.MatchString(s) }

// Check says what is wrong with a target of a list, where only the group must be
// named: the request or the worker fills in the account and the region.
func (t Target) Check() *Invalid {
	t.Account, t.Region = first(t.Account, DefaultAccount), first(t.Region, "ap-guangzhou")
	return t.validate("")
}

func (t Target) validate(field string) *Invalid {
	checks := []struct {
		name, value, want string
		ok                bool
	}{
		{"Account", t.Account, wantAccount, ValidAccount(t.Account)},
		{"Region", t.Region, wantRegion, ValidRegion(t.Region)},
		{"AutoScalingGroupId", t.AutoScalingGroupID, "asg- and lower-case letters or digits", groupPattern.MatchString(t.AutoScalingGroupID)},
		{"RefreshActivityId", t.RefreshActivityID, "asr- and lower-case letters or digits", t.RefreshActivityID == "" || activityPattern.MatchString(t.RefreshActivityID)},
	}
	for _, c := range checks {
		if c.ok {
			continue
		}
		if c.value == "" {
			return invalid(field+c.name, "is required: %s", c.want)
		}
		return invalid(field+c.name, "%s is not allowed: want %s", quote(c.value), c.want)
	}
	return nil
}
