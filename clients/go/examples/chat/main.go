// Command chat prints an answer while it comes, and then what it cost.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"

	maestro "maestro.example/go"
	maestrov1 "maestro.example/go/maestro/v1"
)

func main() {
	client, err := maestro.New()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	request := &maestrov1.ChatRequest{Messages: []*maestrov1.Message{maestro.User("Say hello to the world")}}
	stream, err := client.Chat.StreamChat(context.Background(), request)
	if err != nil {
		log.Fatal(err)
	}
	var answer maestro.Answer
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = answer.Add(event)
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(event.GetTextDelta())
	}
	response, err := answer.Response()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("\n%s, %d tokens\n", response.FinishReason, response.Usage.GetTotalTokens())
}
