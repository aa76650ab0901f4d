package devserver

import (
	"fmt"
	"net/url"
	"strings"
)

// settings are what a private node is told, in files and environment, whichever way it runs.
// Everything that RabbitMQ would otherwise read from the system is named here, because a
// machine's own /etc/rabbitmq must not reach into a private node.
type settings struct {
	dir            string // absolute; all that the node reads and writes
	user, password string
	address        string // the listeners' address
	amqp, manage   int    // ports
	cookie         string // Erlang's; members of a cluster have the same
	extra          string // Options.Config
}

// files returns the contents of the files that the node needs, by their names in dir.
func (s settings) files() map[string]string {
	var conf strings.Builder
	fmt.Fprintf(&conf, "listeners.tcp.1 = %s:%d\n", s.address, s.amqp)
	fmt.Fprintf(&conf, "management.tcp.ip = %s\nmanagement.tcp.port = %d\n", s.address, s.manage)
	fmt.Fprintf(&conf, "default_user = %s\ndefault_pass = %s\n", s.user, s.password)
	conf.WriteString("loopback_users = none\nlog.console = true\nlog.file = false\n")
	conf.WriteString(s.extra + "\n")
	return map[string]string{
		"rabbitmq.conf":       conf.String(),
		"enabled_plugins":     "[rabbitmq_management].\n",
		"advanced.config":     "[].\n",
		"rabbitmq-env.conf":   "",
		"conf.d/none.conf":    "", // the default is /etc/rabbitmq/conf.d
		"home/.erlang.cookie": s.cookie,
	}
}

// environ returns the node's environment, without PATH.
func (s settings) environ() map[string]string {
	return map[string]string{
		"HOME":                          s.dir + "/home",
		"LANG":                          "C.UTF-8",
		"RABBITMQ_CONF_ENV_FILE":        s.dir + "/rabbitmq-env.conf",
		"RABBITMQ_CONFIG_FILE":          s.dir + "/rabbitmq.conf",
		"RABBITMQ_CONFIG_FILES":         s.dir + "/conf.d",
		"RABBITMQ_ADVANCED_CONFIG_FILE": s.dir + "/advanced.config",
		"RABBITMQ_ENABLED_PLUGINS_FILE": s.dir + "/enabled_plugins",
		"RABBITMQ_MNESIA_BASE":          s.dir + "/data",
		"RABBITMQ_LOG_BASE":             s.dir + "/log",
	}
}

// url returns the URL of the AMQP listener as seen from host and port.
func (s settings) url(host string) *url.URL {
	return &url.URL{Scheme: "amqp", User: url.UserPassword(s.user, s.password), Host: host, Path: "/"}
}
