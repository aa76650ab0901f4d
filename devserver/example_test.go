package devserver_test

import (
	"context"
	"fmt"
	"log"

	"github.com/errandq/errand/devserver"
)

func ExampleStart() {
	ctx := context.Background()
	server, err := devserver.Start(ctx, devserver.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			log.Print(err)
		}
	}()

	url, err := server.NewVhost(ctx)
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println("a RabbitMQ of our own:", server.How())
	fmt.Println("for broker.Dial:", url)
}
