// SPDX-License-Identifier: Apache-2.0

// Prints which of several continuations of a text the model prefers: for each,
// the log-probability and the text, most likely first.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sort"

	"rwkvd-examples/connection"

	rwkvd "rwkvd-client"
	"rwkvd-client/rwkv"
)

func text(text string) *rwkv.Input {
	return &rwkv.Input{Input: &rwkv.Input_Text{Text: text}}
}

func run(beginning string, texts []string) error {
	client, err := connection.Dial()
	if err != nil {
		return err
	}
	defer client.Close()
	request := &rwkv.ScoreRequest{Context: text(beginning), TotalsOnly: true}
	for _, continuation := range texts {
		request.Continuations = append(request.Continuations, text(continuation))
	}
	// Sends the request again while the server is overloaded.
	response, err := rwkvd.Retry(context.Background(), client.Stub.Score, request)
	if err != nil {
		return err
	}
	order := make([]int, len(texts))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool {
		return response.Scores[order[i]].LogprobSum > response.Scores[order[j]].LogprobSum
	})
	for _, i := range order {
		fmt.Printf("%.4f\t%s\n", response.Scores[i].LogprobSum, texts[i])
	}
	return nil
}

func main() {
	flag.Parse()
	if flag.NArg() < 2 {
		fmt.Fprintln(os.Stderr, "usage: score [flags] CONTEXT CONTINUATION...")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Args()[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
