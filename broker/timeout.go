package broker

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// RabbitMQ takes a delivery back that stays unanswered for longer than its consumer
// timeout, and before 4.3 closes the channel over it. These are its default, and what we
// keep free of it: it is looked at once a minute.
const (
	defaultConsumerTimeout = 30 * time.Minute
	timeoutMargin          = time.Minute
)

// timeoutArgs asks for a consumer timeout that fits, where the server lets consumers choose.
func timeoutArgs(version string, maxTime time.Duration) amqp.Table {
	if maxTime <= 0 || !atLeast(version, 4, 3) {
		return nil
	}
	timeout := max(maxTime+timeoutMargin, defaultConsumerTimeout)
	return amqp.Table{"x-consumer-timeout": timeout.Milliseconds()}
}

// timeoutAdvice tells what to do where the server's default is too short and the consumer
// can't choose. It is empty where there is nothing to do.
func timeoutAdvice(version, vhost, queue string, maxTime time.Duration) string {
	if maxTime+timeoutMargin <= defaultConsumerTimeout || atLeast(version, 4, 3) {
		return ""
	}
	ms := (maxTime + timeoutMargin).Milliseconds()
	if !atLeast(version, 3, 12) {
		return fmt.Sprintf("set in rabbitmq.conf: consumer_timeout = %d", ms)
	}
	// The policy is named after the queue, because one of the same name would be replaced.
	return fmt.Sprintf(`rabbitmqctl set_policy -p %s --apply-to queues %s %s '{"consumer-timeout":%d}'`,
		shellQuote(vhost), shellQuote("errand-timeout-"+queue), shellQuote("^"+regexp.QuoteMeta(queue)+"$"), ms)
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// atLeast compares a server's version, like 3.12.14 or 4.3.0-rc.1. A version that can't be
// read counts as old.
func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	ma, err1 := strconv.Atoi(parts[0])
	mi, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil {
		return false
	}
	return ma > major || ma == major && mi >= minor
}
