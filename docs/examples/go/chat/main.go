// SPDX-License-Identifier: Apache-2.0

// Has a conversation with the model: each argument is the next message of the
// user. The answers are printed while they are generated.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"rwkvd-examples/connection"

	rwkvd "rwkvd-client"
	"rwkvd-client/rwkv"
)

var (
	template  = flag.String("template", "", "`name` of a chat template, if the server knows none")
	system    = flag.String("system", "", "instructions for the model")
	maxTokens = flag.Int("max-tokens", 200, "maximum number of tokens of an answer")
	seed      = flag.Uint64("seed", 0, "repeats earlier answers")
)

// Prints the answer while it is generated. Returns its text.
func stream(generation *rwkvd.Generation) (string, error) {
	var text string
	for {
		response, err := generation.Recv()
		if err == io.EOF {
			fmt.Println()
			return text, nil
		} else if err != nil {
			return "", err
		}
		part := response.GetDelta().GetText() + response.GetFinish().GetText()
		fmt.Print(part)
		text += part
		if usage := response.GetFinish().GetUsage(); usage != nil {
			fmt.Fprintf(os.Stderr, "%d tokens of the prompt, %d of them cached\n",
				usage.PromptTokens, usage.CachedTokens)
		}
	}
}

// Asks the client's server for the next answer in the conversation.
func answer(client *rwkvd.Client, conversation *rwkv.Conversation) (string, error) {
	limit := int32(*maxTokens)
	request := &rwkv.GenerateRequest{
		Prompt:    &rwkv.Input{Input: &rwkv.Input_Conversation{Conversation: conversation}},
		MaxTokens: &limit,
	}
	if *seed != 0 {
		request.Sampling = &rwkv.Sampling{Seed: seed}
	}
	generation, err := client.Generate(context.Background(), request, rwkvd.Options{})
	if err != nil {
		return "", err
	}
	return stream(generation)
}

func run(messages []string) error {
	client, err := connection.Dial()
	if err != nil {
		return err
	}
	defer client.Close()
	conversation := &rwkv.Conversation{ChatTemplate: *template}
	add := func(role rwkv.ChatRole, content string) {
		conversation.Messages = append(conversation.Messages,
			&rwkv.ChatMessage{Role: role, Content: content})
	}
	if *system != "" {
		add(rwkv.ChatRole_CHAT_ROLE_SYSTEM, *system)
	}
	for _, message := range messages {
		add(rwkv.ChatRole_CHAT_ROLE_USER, message)
		// Each request has the whole conversation. The server computes only
		// what is new: it keeps the state after the last answer.
		text, err := answer(client, conversation)
		if err != nil {
			return err
		}
		add(rwkv.ChatRole_CHAT_ROLE_ASSISTANT, text)
	}
	return nil
}

func main() {
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: chat [flags] MESSAGE...")
		flag.PrintDefaults()
		os.Exit(2)
	}
	if err := run(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
