package topology_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/errandq/errand/topology"
)

func TestCheckQueue(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		want string // the rule that the error names; empty: the name is good
	}{
		{"pdf", ""},
		{"pdf.urgent", ""},
		{"errand", ""},
		{"errands.of.mine", ""},
		{"amq", ""},
		{"with space, ünïcödé / and 世界", ""},
		{strings.Repeat("x", topology.MaxQueueName), ""},
		{"", "empty"},
		{"a\xffb", "UTF-8"},
		{strings.Repeat("x", topology.MaxQueueName+1), "at most 180"},
		{strings.Repeat("ü", 91), "182 bytes"},
		{"a*b", "* and #"},
		{"#", "* and #"},
		{"a\x00", "control characters"},
		{"a\nb", "control characters"},
		{"a\x7f", "control characters"},
		{"a\u0085b", "control characters"},
		{"amq.rabbitmq.trace", "reserved"},
		{"errand.jobs", "reserved"},
		{"errand.", "reserved"},
	}
	for _, test := range tests {
		err := topology.CheckQueue(test.name)
		if test.want == "" && err != nil {
			t.Errorf("queue %.40q: %v, want it to be good", test.name, err)
		}
		if test.want != "" && (!errors.Is(err, topology.ErrName) || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("queue %.40q: got %v, want ErrName with %q", test.name, err, test.want)
		}
	}
}

func TestCheckNamespace(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name topology.Namespace
		want string // the rule that the error names; empty: the name is good
	}{
		{"", ""},
		{topology.DefaultNamespace, ""},
		{"shop", ""},
		{"amqp", ""},
		{topology.Namespace(strings.Repeat("x", 60)), ""},
		{topology.Namespace(strings.Repeat("x", 61)), "at most 60"},
		{"a*", "control characters"},
		{"a#", "control characters"},
		{"a\t", "control characters"},
		{"a\xff", "valid UTF-8"},
		{"amq", "RabbitMQ's own"},
		{"amq.x", "RabbitMQ's own"},
	}
	for _, test := range tests {
		err := test.name.Check()
		if test.want == "" && err != nil {
			t.Errorf("namespace %.40q: %v, want it to be good", test.name, err)
		}
		if test.want != "" && (!errors.Is(err, topology.ErrName) || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("namespace %.40q: got %v, want ErrName with %q", test.name, err, test.want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, ns := range []topology.Namespace{"", "errand", "shop"} {
		prefix := string(ns)
		if ns == "" {
			prefix = "errand"
		}
		for got, want := range map[string]string{
			ns.Jobs():     ".jobs",
			ns.Due():      ".due",
			ns.Dead():     ".dead",
			ns.Parked():   ".parked",
			ns.Delay(7):   ".delay.07",
			ns.Delay(34):  ".delay.34",
			ns.Delay(123): ".delay.123",
		} {
			if got != prefix+want {
				t.Errorf("namespace %q: got %s, want %s", ns, got, prefix+want)
			}
		}
	}
	if got := topology.DeadQueue("pdf"); got != "pdf.dead" {
		t.Errorf("got %s, want pdf.dead", got)
	}
}
