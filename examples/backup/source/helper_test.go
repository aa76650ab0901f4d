package source_test

import (
	"errors"
	"os"
	"time"
)

// old is long enough ago that a write now is sure to get another time.
var old = time.Date(2001, time.February, 3, 4, 5, 6, 0, time.UTC)

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
