package simulator

import (
	"maps"
	"slices"
	"time"
)

// activitySet and groupSet are the answers of the Describe actions; the items
// carry the fields that concern refreshes, spelled as the API spells them.
type activitySet struct {
	TotalCount         int
	RefreshActivitySet []activityItem
}

type groupSet struct {
	TotalCount          int
	AutoScalingGroupSet []groupItem
}

type activityItem struct {
	AutoScalingGroupId      string
	RefreshActivityId       string
	OriginRefreshActivityId string
	RefreshBatchSet         []batchItem
	RefreshMode             string
	RefreshSettings         refreshSettings
	ActivityType            string
	Status                  Status
	CurrentRefreshBatchNum  int
	StartTime               *string
	EndTime                 *string
	CreatedTime             *string
}

type batchItem struct {
	RefreshBatchNum                int
	RefreshBatchStatus             Status
	RefreshBatchRelatedInstanceSet []instanceItem
	StartTime                      *string
	EndTime                        *string
}

type instanceItem struct {
	InstanceId            string
	InstanceStatus        Status
	LastActivityId        string
	InstanceStatusMessage string
}

type groupItem struct {
	AutoScalingGroupId      string
	AutoScalingGroupName    string
	AutoScalingGroupStatus  string
	EnabledStatus           string
	InActivityStatus        string
	CreatedTime             *string
	DesiredCapacity         int
	InstanceCount           int
	InServiceInstanceCount  int
	MinSize                 int
	MaxSize                 int
	LaunchConfigurationId   string
	LaunchConfigurationName string
	Tags                    []tagItem
}

type tagItem struct {
	ResourceType string
	Key          string
	Value        string
}

// item is the activity as Describe shows it, its batches youngest first as in
// the documentation's example.
func (a *activity) item(now time.Time) activityItem {
	batches := make([]batchItem, 0, len(a.Batches))
	for _, b := range slices.Backward(a.Batches) {
		batches = append(batches, b.item(a.ID))
	}
	s := a.Settings
	batchNumber, surge := uint64(s.BatchNumber), int64(s.MaxSurge)
	return activityItem{
		AutoScalingGroupId:      a.GroupID,
		RefreshActivityId:       a.ID,
		OriginRefreshActivityId: a.OriginID,
		RefreshBatchSet:         batches,
		RefreshMode:             a.Mode,
		RefreshSettings: refreshSettings{RollingUpdateSettings: &rollingUpdateSettings{
			BatchNumber: &batchNumber, BatchPause: &s.BatchPause, MaxSurge: &surge, FailProcess: &s.FailProcess,
		}},
		ActivityType:           a.Type,
		Status:                 a.shownStatus(now),
		CurrentRefreshBatchNum: a.CurrentBatch,
		StartTime:              apiTime(a.Started),
		EndTime:                apiTime(a.Ended),
		CreatedTime:            apiTime(a.Created),
	}
}

func (b Batch) item(activityID string) batchItem {
	instances := make([]instanceItem, 0, len(b.InstanceIDs))
	for _, id := range b.InstanceIDs {
		i := instanceItem{InstanceId: id, InstanceStatus: b.Status}
		if b.Status != Waiting && b.Status != Cancelled {
			i.LastActivityId = "asa-" + shortHash(activityID+id)
		}
		if b.Status == Failed {
			i.InstanceStatusMessage = "The instance did not become healthy in time."
		}
		instances = append(instances, i)
	}
	return batchItem{
		RefreshBatchNum:                b.Num,
		RefreshBatchStatus:             b.Status,
		RefreshBatchRelatedInstanceSet: instances,
		StartTime:                      apiTime(b.Started),
		EndTime:                        apiTime(b.Ended),
	}
}

func (g *group) item() groupItem {
	inActivity := "NOT_IN_ACTIVITY"
	if a := g.live(); a != nil && a.running() != nil {
		inActivity = "IN_ACTIVITY"
	}
	tags := []tagItem{}
	for _, key := range slices.Sorted(maps.Keys(g.Tags)) {
		tags = append(tags, tagItem{ResourceType: "auto-scaling-group", Key: key, Value: g.Tags[key]})
	}
	return groupItem{
		AutoScalingGroupId:      g.ID,
		AutoScalingGroupName:    g.Name,
		AutoScalingGroupStatus:  "NORMAL",
		EnabledStatus:           g.enabledStatus(),
		InActivityStatus:        inActivity,
		CreatedTime:             apiTime(g.Created),
		DesiredCapacity:         g.DesiredCapacity,
		InstanceCount:           g.DesiredCapacity,
		InServiceInstanceCount:  g.DesiredCapacity,
		MaxSize:                 2 * g.DesiredCapacity,
		LaunchConfigurationId:   g.LaunchConfigurationID,
		LaunchConfigurationName: g.LaunchConfigurationName,
		Tags:                    tags,
	}
}

// apiTime is how the API writes a time: in seconds, null while there is none.
func apiTime(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format(time.RFC3339)
	return &s
}
