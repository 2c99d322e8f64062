// Package simulator is Tencent Cloud's Auto Scaling API (service as, version
// 2018-04-19) as an [http.Handler], as far as instance refreshes go: a place to
// rehearse pausing bad rollouts, and the other side of every test that needs
// the real SDK to talk to something.
//
// It checks TC3-HMAC-SHA256 signatures, counts the quota by arrival, runs the
// state machine of refresh activities and misbehaves on request ([Fault]).
// Every arrival can be read back ([Simulator.Arrivals]).
//
// It never calls anybody, keeps everything in memory, starts no goroutine, and
// imports nothing of this project: a misreading of the API that client and
// simulator shared would pass every test.
//
// # What it imitates
//
// Actions: StopInstanceRefresh, ResumeInstanceRefresh, CancelInstanceRefresh,
// StartInstanceRefresh, RollbackInstanceRefresh, DescribeRefreshActivities,
// DescribeAutoScalingGroups. Only POST with a JSON body; the real API takes GET
// as well. Messages are English whatever X-TC-Language says. Like the real API
// it answers errors with HTTP 200.
//
// A call is checked in this order, the first defect answers: protocol, common
// parameters, Authorization, timestamp, SecretId, signature, token, version and
// action, quota, region, body, business.
//
// # What is guessed
//
// The documentation leaves these open. The first six have a switch in
// [Undocumented], the others are fixed.
//
//   - Stop of an activity in INIT: conflict. StopOnInit.
//   - Stop of an activity that is already paused: conflict. StopOnPaused.
//   - A group and an activity that do not belong together:
//     ResourceNotFound.RefreshActivityNotFound. Mismatch.
//   - When Describe shows a pause: at once. DescribeLag, for one activity the
//     fault describe_lag.
//   - A group is enabled again when its refresh ends. StaysDisabled.
//   - The order of a Describe: newest first. DescribeOrder.
//   - Stop in the scale-in phase is a conflict; that it is impossible is
//     documented, the code is not.
//   - A batch that fails while its activity is paused leaves it in
//     MANUAL_PAUSE. One that fails under AUTO_ROLLBACK cancels the activity
//     and creates a rollback activity.
//   - Rollback of an unknown activity: RefreshActivityCanNotRollback, because
//     no not-found code is listed for it.
//   - Describe of an unknown asr- id: an empty set.
//   - Which listed code answers too many filters, ids or a Limit over 100:
//     InvalidParameterValue.LimitExceeded.
//   - The order of the checks above.
//   - Whether a refused arrival counts against the quota: no.
//     Quota.CountRejected.
//
// # Time
//
// Time is read when somebody calls, so a Simulator works inside a
// testing/synctest bubble; create it inside. With a zero [Timing] batches take
// 24 hours and nothing moves during a test unless the test says so.
//
// # Size
//
// What a call costs does not depend on how many groups and refreshes there are,
// with one exception: a Describe that names neither a group nor an activity
// looks at all groups of its region.
package simulator
