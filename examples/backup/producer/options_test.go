package main

import "testing"

func TestParse(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("AMQP_URL", "amqp://elsewhere")
	for _, tc := range []struct {
		name  string
		args  []string
		check func(options) bool // nil: an error is wanted
	}{
		{"least", []string{"-source", dir}, func(o options) bool { return !o.wait && o.amqp == "amqp://elsewhere" }},
		{"flag before environment", []string{"-source", dir, "-amqp", "amqp://here"}, func(o options) bool { return o.amqp == "amqp://here" }},
		{"a summary needs waiting", []string{"-source", dir, "-summary", "f"}, func(o options) bool { return o.wait }},
		{"no source", nil, nil},
		{"source that is not there", []string{"-source", dir + "/nothing"}, nil},
		{"left over", []string{"-source", dir, "x"}, nil},
		{"negative stall", []string{"-source", dir, "-stall", "-1s"}, nil},
	} {
		got, err := parse(tc.args)
		if (err == nil) != (tc.check != nil) || (tc.check != nil && !tc.check(got)) {
			t.Errorf("%s: got %+v, %v", tc.name, got, err)
		}
	}
}
