package asapi

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/regions"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// placeholder stands in an endpoint for the region of the request.
const placeholder = "{region}"

// knownRegions are served when the endpoint contains the region and no list
// was given: a region from a request becomes a host name there, and must be
// one that exists.
var knownRegions = []string{
	regions.Bangkok, regions.Beijing, regions.Chengdu, regions.Chongqing, regions.Guangzhou, regions.GuangzhouOpen, regions.HongKong,
	regions.Jakarta, regions.Mumbai, regions.Seoul, regions.Shanghai, regions.Nanjing, regions.ShanghaiFSI, regions.ShenzhenFSI,
	regions.Singapore, regions.Tokyo, regions.Frankfurt, regions.Moscow, regions.Ashburn, regions.SiliconValley, regions.Toronto, regions.SaoPaulo,
}

// endpoint is where calls go: scheme and host, with a placeholder or without.
type endpoint struct {
	scheme, host string
	regions      []string // served; none means every well-shaped one
}

func newEndpoint(raw string, served []string) (endpoint, error) {
	u, err := url.Parse(strings.ReplaceAll(raw, placeholder, "region"))
	if err != nil {
		return endpoint{}, fmt.Errorf("endpoint %q is not a URL: %w", raw, err)
	}
	_, host, _ := strings.Cut(raw, "://")
	host = strings.TrimSuffix(host, "/")
	// What is left must be the host and nothing else: no path, query, fragment or
	// user, and nothing that the URL spells differently.
	if u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || strings.ReplaceAll(host, placeholder, "region") != u.Host {
		return endpoint{}, fmt.Errorf("endpoint %q: want https://host, such as https://as.intl.tencentcloudapi.com", raw)
	}
	// Lower case, as the endpoint names a quota that all workers must call alike.
	e := endpoint{scheme: u.Scheme, host: strings.ToLower(host), regions: served}
	if len(served) == 0 && strings.Contains(host, placeholder) {
		e.regions = knownRegions
	}
	for _, r := range e.regions {
		if !stop.ValidRegion(r) {
			return endpoint{}, fmt.Errorf("region %q does not look like one, such as ap-guangzhou", r)
		}
	}
	return e, nil
}

// in is the host for a region, or an error that says what is served.
func (e endpoint) in(region string) (host string, err error) {
	if !stop.ValidRegion(region) {
		return "", fmt.Errorf("region %.40q does not look like one, such as ap-guangzhou", region)
	}
	if len(e.regions) > 0 && !slices.Contains(e.regions, region) {
		return "", fmt.Errorf("region %s is not served here; served are %s", region, strings.Join(e.regions, ", "))
	}
	return strings.ReplaceAll(e.host, placeholder, region), nil
}
