package signup

import (
	"testing"

	"github.com/errandq/errand/jobtest"
	"github.com/errandq/errand/producer"
)

func TestSignUpSendsMail(t *testing.T) {
	b := jobtest.NewBroker(t)
	s := Service{Jobs: producer.New(b, producer.Config{})}

	if err := s.SignUp(t.Context(), "ann@example.com"); err != nil {
		t.Fatal(err)
	}
	jobtest.WantEnqueued(t, b, SendMail,
		Mail{To: "ann@example.com", Template: "welcome"},
		Mail{To: "ann@example.com", Template: "tips"},
	)
}
