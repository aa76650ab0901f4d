package main

import (
	"fmt"

	"github.com/errandq/errand/event"
	"github.com/errandq/errand/job"
)

// A Line is a line of a log.
type Line struct {
	Device   string `json:"device"`
	Severity string `json:"severity"`
	Text     string `json:"text"`
	Last     bool   `json:"last,omitempty"`
}

func (l Line) String() string { return fmt.Sprintf("%-8s %-8s %s", l.Severity, l.Device, l.Text) }

// The same lines, for whoever wants all of them, or chooses.
var (
	All        = event.Define[Line]("log.all")
	BySeverity = event.Define[Line]("log.severity", event.Exchange("log.severity", event.Direct))
	ByDevice   = event.Define[Line]("log.device", event.Exchange("log.device", event.Pattern))
	ByLabel    = event.Define[Line]("log.label", event.Exchange("log.label", event.Headers))
)

// events tells of a line in all four ways.
func events(l Line, opts ...event.PublishOption) []job.Job {
	with := func(more ...event.PublishOption) []event.PublishOption { return append(more, opts...) }
	return []job.Job{
		All.New(l, opts...),
		BySeverity.New(l, with(event.Key(l.Severity))...),
		ByDevice.New(l, with(event.Key(l.Device+"."+l.Severity))...),
		ByLabel.New(l, with(event.Header("device", l.Device), event.Header("severity", l.Severity))...),
	}
}
