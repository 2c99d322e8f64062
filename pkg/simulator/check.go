package simulator

import (
	"mime"
	"net"
	"net/http"
	"strings"
)

// publishedRegions are those the SDKs name.
var publishedRegions = strings.Fields(`
	ap-bangkok ap-beijing ap-chengdu ap-chongqing ap-guangzhou ap-guangzhou-open ap-hongkong
	ap-jakarta ap-mumbai ap-nanjing ap-seoul ap-shanghai ap-shanghai-fsi ap-shenzhen-fsi
	ap-singapore ap-tokyo eu-frankfurt eu-moscow na-ashburn na-siliconvalley na-toronto sa-saopaulo`)

// knownRegions maps every region that exists to whether the API serves it.
func knownRegions(sc Scenario) map[string]bool {
	known := map[string]bool{}
	for _, r := range publishedRegions {
		known[r] = true
	}
	for _, r := range sc.Regions {
		known[r] = true
	}
	for _, g := range sc.Groups {
		known[g.Region] = true
	}
	for _, r := range sc.UnservedRegions {
		known[r] = false
	}
	return known
}

// check runs everything that comes before an action's own code, in the order
// the package comment gives. The first defect is the answer.
func (s *Simulator) check(c *call) *apiError {
	for _, step := range []func(*call) *apiError{
		checkProtocol, checkCommon, s.checkCaller, checkAction, s.checkQuota, s.checkRegion, checkFault,
	} {
		if err := step(c); err != nil {
			return err
		}
	}
	return nil
}

func checkProtocol(c *call) *apiError {
	if c.r.Method != http.MethodPost {
		return fail(codeUnsupportedProtocol, "The request method `%s` is not supported, use POST.", c.r.Method)
	}
	if len(c.body) > maxBody {
		return fail(codeRequestTooLarge, "The request is larger than 10 MB.")
	}
	if product, ok := productOf(c.r.Host); ok && product != serviceName {
		return fail(codeNoSuchProduct, "The product `%s` does not exist.", product)
	}
	contentType := c.r.Header.Get("Content-Type")
	if contentType == "" {
		return missing("Content-Type")
	}
	if media, _, err := mime.ParseMediaType(contentType); err != nil || media != "application/json" {
		return fail(codeUnsupportedProtocol, "The content type `%s` is not supported, use application/json.", contentType)
	}
	return nil
}

// productOf returns the first label of a host of Tencent Cloud. Of other hosts,
// such as a loopback address, it knows nothing.
func productOf(host string) (string, bool) {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	product, rest, _ := strings.Cut(strings.ToLower(name), ".")
	ours := rest == "tencentcloudapi.com" || strings.HasSuffix(rest, ".tencentcloudapi.com")
	return product, ours
}

// checkCommon looks for the headers without which nothing can be judged.
func checkCommon(c *call) *apiError {
	for _, name := range []string{"Timestamp", "Version", "Action"} {
		if c.r.Header.Get("X-TC-"+name) == "" {
			return missing(name)
		}
	}
	return nil
}

// checkCaller proves who calls.
func (s *Simulator) checkCaller(c *call) *apiError {
	a, ok := parseAuthorization(c.r.Header.Get("Authorization"))
	if !ok {
		return fail(codeInvalidAuthorization, "The `Authorization` header is missing or malformed.")
	}
	s.mu.Lock()
	now := c.now.Add(s.ahead)
	s.mu.Unlock()
	at, err := checkTimestamp(c.r.Header.Get("X-TC-Timestamp"), now)
	if err != nil {
		return err
	}
	if f := c.fate.fault; f != nil && f.Kind == RefuseCredentials {
		return f.err()
	}
	if !strings.HasPrefix(a.secretID, "AKID") {
		return fail(codeInvalidSecretID, "The SecretId is not that of an API key.")
	}
	s.mu.Lock()
	credential, ok := s.credentials[a.secretID]
	s.mu.Unlock()
	if !ok {
		return fail(codeSecretIDNotFound, "The SecretId is not found, please ensure that your SecretId is correct.")
	}
	if err := a.checkSignature(c.r, c.body, at, credential.SecretKey); err != nil {
		return err
	}
	if c.r.Header.Get("X-TC-Token") != credential.Token {
		return fail(codeTokenFailure, "The token is wrong or has expired.")
	}
	return nil
}

func checkAction(c *call) *apiError {
	version := c.r.Header.Get("X-TC-Version")
	if version != apiVersion {
		return fail(codeNoSuchVersion, "The specified api version=`%s` does not exist in service=`%s`.", version, serviceName)
	}
	if actions[c.action] == nil {
		return fail(codeInvalidAction, "The request action=`%s` is invalid or not found in service=`%s` and version=`%s`.", c.action, serviceName, version)
	}
	return nil
}

func (s *Simulator) checkQuota(c *call) *apiError {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := c.fate.fault; f != nil && f.Kind == Throttle {
		if f.Message != "" {
			return f.err()
		}
		limit := s.quota.limit(c.action)
		return limitExceeded(f.Code, limit, limit, false)
	}
	return s.quota.admit(quotaKey{c.action, c.r.Host, c.secretID}, c.now)
}

func (s *Simulator) checkRegion(c *call) *apiError {
	s.mu.Lock()
	served, known := s.regions[c.region]
	s.mu.Unlock()
	switch {
	case !known:
		return fail(codeInvalidValue, "A value specified in `X-TC-Region` is not valid, is unsupported, or cannot be used.")
	case !served:
		return fail(codeUnsupportedRegion, "The action not support this region.")
	}
	return nil
}

// checkFault stands where the API asks CAM and its own backends.
func checkFault(c *call) *apiError {
	if f := c.fate.fault; f != nil && f.Kind == ErrorCode {
		return f.err()
	}
	return nil
}

// err is the answer of a fault that is an error code.
func (f *Fault) err() *apiError {
	if f.Message == "" {
		return fail(f.Code, "The simulator was asked to answer `%s`.", f.Code)
	}
	return &apiError{Code: f.Code, Message: f.Message}
}
