package asapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	as "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/as/v20180419"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"

	"github.com/seed-a7c21902/andon/pkg/stop"
)

// Config says where the API is and who calls it.
type Config struct {
	// Endpoint is the access endpoint, such as
	// https://as.intl.tencentcloudapi.com. "{region}" in it becomes the region
	// of the call, which gives each region a quota of its own.
	Endpoint string
	// Accounts are the credentials, by the name that requests use.
	Accounts map[string]Account
	// Regions are those served. None means every one that looks like a region
	// or, with "{region}" in Endpoint, every one that the SDK knows.
	Regions []string
	// Timeout bounds one call, its answer included; 0 is 5 s.
	Timeout time.Duration
	// Concurrency is how many connections are kept; 0 is 32.
	Concurrency int
	// Version is told to the API, for its statistics.
	Version string
}

// Client calls the API. Its methods may be called from any goroutine.
type Client struct {
	conf      Config
	endpoint  endpoint
	transport *http.Transport
	metrics   *metrics
	accounts  map[string]*holder

	mu      sync.Mutex
	clients map[clientKey]*as.Client
}

type clientKey struct{ account, region string }

// New makes a client. It calls nobody.
func New(c Config, reg prometheus.Registerer, log *slog.Logger) (*Client, error) {
	if c.Timeout <= 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Concurrency <= 0 {
		c.Concurrency = 32
	}
	e, err := newEndpoint(c.Endpoint, c.Regions)
	if err != nil {
		return nil, err
	}
	if len(c.Accounts) == 0 {
		return nil, errors.New("no account: at least one is needed to call the API")
	}
	for name := range c.Accounts {
		if !stop.ValidAccount(name) {
			return nil, fmt.Errorf("account name %q: want letters, digits, - and _, at most 32", name)
		}
	}
	client := &Client{
		conf: c, endpoint: e, transport: newTransport(c.Concurrency), metrics: newMetrics(reg),
		accounts: make(map[string]*holder), clients: make(map[clientKey]*as.Client),
	}
	for name, a := range c.Accounts {
		client.accounts[name] = newHolder(name, a, log)
	}
	return client, nil
}

// Close drops idle connections and waits for refreshes of credentials, a
// second at most. No call may be under way.
func (c *Client) Close() {
	var closing sync.WaitGroup
	for _, h := range c.accounts {
		closing.Go(h.close)
	}
	closing.Wait()
	c.transport.CloseIdleConnections()
}

// Quota is what calls for the account and region count against. The error
// says, for the one who asked, what is served instead.
func (c *Client) Quota(account, region string) (stop.Quota, error) {
	if _, ok := c.accounts[account]; !ok {
		return stop.Quota{}, fmt.Errorf("account %.40q is not served here; served are %s", account, strings.Join(slices.Sorted(maps.Keys(c.accounts)), ", "))
	}
	host, err := c.endpoint.in(region)
	if err != nil {
		return stop.Quota{}, err
	}
	return stop.Quota{Account: account, Endpoint: c.endpoint.scheme + "://" + host}, nil
}

// Serves reports whether the account is among those configured.
func (c *Client) Serves(account string) bool { return c.accounts[account] != nil }

// Endpoint is the access endpoint, with "{region}" in it where each region has its
// own.
func (c *Client) Endpoint() string { return c.endpoint.scheme + "://" + c.endpoint.host }

// Accounts are the names of those served here, sorted.
func (c *Client) Accounts() []string { return slices.Sorted(maps.Keys(c.accounts)) }

// Quotas are those known before any request has come: one for each account,
// unless each region has its own.
func (c *Client) Quotas() []stop.Quota {
	var known []stop.Quota
	for _, account := range c.Accounts() {
		if !strings.Contains(c.endpoint.host, placeholder) {
			known = append(known, stop.Quota{Account: account, Endpoint: c.Endpoint()})
			continue
		}
		for _, region := range c.conf.Regions {
			known = append(known, stop.Quota{Account: account, Endpoint: strings.ReplaceAll(c.Endpoint(), placeholder, region)})
		}
	}
	return known
}

// Regions are those that a request means which names none: the ones configured,
// else every one that the SDK knows.
func (c *Client) Regions() []string {
	if len(c.conf.Regions) > 0 {
		return slices.Clone(c.conf.Regions)
	}
	return slices.Clone(knownRegions)
}

// maxClients bounds the SDK's clients that are kept: without a list of regions
// a publisher could name any number.
const maxClients = 256

// sdk is the client of the SDK for an account and region.
func (c *Client) sdk(account, region string) (*as.Client, *holder, error) {
	h, ok := c.accounts[account]
	if !ok {
		return nil, nil, fmt.Errorf("account %.40q is not served here", account)
	}
	host, err := c.endpoint.in(region)
	if err != nil {
		return nil, nil, err
	}
	key := clientKey{account, region}
	c.mu.Lock()
	defer c.mu.Unlock()
	if client := c.clients[key]; client != nil {
		return client, h, nil
	}
	client, err := c.newSDK(h, host, region)
	if err != nil {
		return nil, nil, err
	}
	if len(c.clients) >= maxClients {
		clear(c.clients)
	}
	c.clients[key] = client
	return client, h, nil
}

func (c *Client) newSDK(h *holder, host, region string) (*as.Client, error) {
	p := profile.NewClientProfile()
	p.HttpProfile.Endpoint = host
	p.HttpProfile.Scheme = strings.ToUpper(c.endpoint.scheme)
	p.HttpProfile.ReqMethod = http.MethodPost
	p.HttpProfile.ReqTimeout = 0
	p.NetworkFailureMaxRetries, p.RateLimitExceededMaxRetries = 0, 0
	p.UnsafeRetryOnConnectionFailure = false
	p.DisableRegionBreaker = true
	p.Language = "en-US"
	p.Debug = false
	client, err := as.NewClient(h, region, p)
	if err != nil {
		return nil, fmt.Errorf("client for %s: %w", region, err)
	}
	client.WithHttpTransport(guard{next: c.transport})
	client.WithRequestClient("andon " + strings.Map(inRequestClient, c.conf.Version))
	return client, nil
}

// inRequestClient drops what the SDK does not let into its statistics header.
func inRequestClient(r rune) rune {
	if r == '-' || r == '.' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
		return r
	}
	return -1
}

// Stop pauses an activity: one attempt.
// https://www.tencentcloud.com/document/api/377/59078
func (c *Client) Stop(ctx context.Context, t stop.Target) stop.Answer {
	return c.call(ctx, stop.ActionStop, t.Account, t.Region, func(ctx context.Context, sdk *as.Client) (*string, error) {
		req := as.NewStopInstanceRefreshRequest()
		req.AutoScalingGroupId, req.RefreshActivityId = &t.AutoScalingGroupID, &t.RefreshActivityID
		resp, err := sdk.StopInstanceRefreshWithContext(ctx, req)
		if err != nil || resp == nil || resp.Response == nil {
			return nil, err
		}
		return resp.Response.RequestId, nil
	})
}

// Resume lets a paused activity go on: one attempt.
// https://www.tencentcloud.com/document/api/377/59079
func (c *Client) Resume(ctx context.Context, t stop.Target, mode stop.ResumeMode) stop.Answer {
	return c.call(ctx, stop.ActionResume, t.Account, t.Region, func(ctx context.Context, sdk *as.Client) (*string, error) {
		req := as.NewResumeInstanceRefreshRequest()
		req.AutoScalingGroupId, req.RefreshActivityId, req.ResumeMode = &t.AutoScalingGroupID, &t.RefreshActivityID, ref(string(mode))
		resp, err := sdk.ResumeInstanceRefreshWithContext(ctx, req)
		if err != nil || resp == nil || resp.Response == nil {
			return nil, err
		}
		return resp.Response.RequestId, nil
	})
}

// pageSize is the most that one call returns.
const pageSize = 100

// Activities reads one page of what the scope selects: one attempt.
// https://www.tencentcloud.com/document/api/377/59082
func (c *Client) Activities(ctx context.Context, s stop.Scope) (stop.Page, stop.Answer) {
	var page stop.Page
	answer := c.call(ctx, stop.ActionDescribe, s.Account, s.Region, func(ctx context.Context, sdk *as.Client) (*string, error) {
		resp, err := sdk.DescribeRefreshActivitiesWithContext(ctx, describe(s))
		if err != nil || resp == nil || resp.Response == nil {
			return nil, err
		}
		page = pageOf(resp.Response)
		return resp.Response.RequestId, nil
	})
	if !answer.OK() {
		return stop.Page{}, answer
	}
	return page, answer
}

func describe(s stop.Scope) *as.DescribeRefreshActivitiesRequest {
	req := as.NewDescribeRefreshActivitiesRequest()
	req.Limit, req.Offset = ref(uint64(pageSize)), ref(uint64(max(s.Offset, 0))) //nolint:gosec // not negative
	if len(s.ActivityIDs) > 0 {
		req.RefreshActivityIds = refs(s.ActivityIDs)
		return req
	}
	var live []string
	for _, status := range stop.LiveStatuses() {
		live = append(live, string(status))
	}
	req.Filters = []*as.Filter{{Name: ref("refresh-activity-status-code"), Values: refs(live)}}
	if len(s.GroupIDs) > 0 {
		req.Filters = append(req.Filters, &as.Filter{Name: ref("auto-scaling-group-id"), Values: refs(s.GroupIDs)})
	}
	return req
}

func pageOf(r *as.DescribeRefreshActivitiesResponseParams) stop.Page {
	page := stop.Page{Total: int(min(value(r.TotalCount), 1<<31-1))} //nolint:gosec // bounded just here
	for _, a := range r.RefreshActivitySet {
		if a == nil || value(a.RefreshActivityId) == "" {
			continue // nothing that could be called
		}
		page.Activities = append(page.Activities, stop.Activity{
			AutoScalingGroupID: word(a.AutoScalingGroupId), RefreshActivityID: word(a.RefreshActivityId),
			ActivityType: word(a.ActivityType), Status: stop.Status(word(a.Status)), CreatedTime: moment(a.CreatedTime),
		})
	}
	return page
}

// Groups reads one page of what the scope selects: one attempt.
// https://www.tencentcloud.com/document/api/377/31158
func (c *Client) Groups(ctx context.Context, s stop.GroupScope) (stop.GroupPage, stop.Answer) {
	var page stop.GroupPage
	answer := c.call(ctx, stop.ActionGroups, s.Account, s.Region, func(ctx context.Context, sdk *as.Client) (*string, error) {
		resp, err := sdk.DescribeAutoScalingGroupsWithContext(ctx, describeGroups(s))
		if err != nil || resp == nil || resp.Response == nil {
			return nil, err
		}
		page = groupsOf(resp.Response)
		return resp.Response.RequestId, nil
	})
	if !answer.OK() {
		return stop.GroupPage{}, answer
	}
	return page, answer
}

// maxFilters is how many filters a Describe takes. What does not fit is for the
// caller to look at, who has to in any case.
const maxFilters = 10

func describeGroups(s stop.GroupScope) *as.DescribeAutoScalingGroupsRequest {
	req := as.NewDescribeAutoScalingGroupsRequest()
	req.Limit, req.Offset = ref(uint64(pageSize)), ref(uint64(max(s.Offset, 0))) //nolint:gosec // not negative
	if len(s.GroupIDs) > 0 {
		req.AutoScalingGroupIds = refs(s.GroupIDs)
		return req
	}
	if s.LaunchConfigurationID != "" {
		req.Filters = append(req.Filters, &as.Filter{Name: ref("launch-configuration-id"), Values: refs([]string{s.LaunchConfigurationID})})
	}
	for _, key := range slices.Sorted(maps.Keys(s.Tags)) {
		if len(req.Filters) < maxFilters {
			req.Filters = append(req.Filters, &as.Filter{Name: ref("tag:" + key), Values: refs([]string{s.Tags[key]})})
		}
	}
	return req
}

func groupsOf(r *as.DescribeAutoScalingGroupsResponseParams) stop.GroupPage {
	page := stop.GroupPage{Total: int(min(value(r.TotalCount), 1<<31-1))} //nolint:gosec // bounded just here
	for _, g := range r.AutoScalingGroupSet {
		if g == nil || value(g.AutoScalingGroupId) == "" {
			continue
		}
		group := stop.Group{
			AutoScalingGroupID: word(g.AutoScalingGroupId), Name: word(g.AutoScalingGroupName),
			LaunchConfigurationID: word(g.LaunchConfigurationId), Tags: make(map[string]string),
		}
		for _, tag := range g.Tags {
			if tag != nil {
				group.Tags[value(tag.Key)] = value(tag.Value)
			}
		}
		page.Groups = append(page.Groups, group)
	}
	return page
}

func ref[T any](v T) *T { return &v }

func refs(values []string) []*string {
	list := make([]*string, len(values))
	for i := range values {
		list[i] = &values[i]
	}
	return list
}

func word(p *string) string { return bound(value(p), maxWord) }

// moment reads a time, zero when the API has none. An offset of a whole day can
// be read and not be written, and the task that holds the time must be.
func moment(p *string) time.Time {
	t, err := time.Parse(time.RFC3339, value(p))
	if _, unfit := t.MarshalText(); err != nil || unfit != nil {
		return time.Time{}
	}
	return t
}

func value[T any](p *T) (v T) {
	if p == nil {
		return v
	}
	return *p
}
