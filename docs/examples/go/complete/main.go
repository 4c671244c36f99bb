// SPDX-License-Identifier: Apache-2.0

// Streams a completion from rwkvd, reports errors with their details, cancels,
// and continues on another server when the first one shuts down.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"google.golang.org/grpc/status"

	"rwkvd-examples/connection"

	rwkvd "rwkvd-client"
	"rwkvd-client/rwkv"
)

var (
	maxTokens = flag.Int("max-tokens", 100, "maximum number of tokens")
	deadline  = flag.Float64("deadline", 0, "seconds")
	stopAfter = flag.Int("stop-after", 0, "cancel after this many `bytes`")
	seed      = flag.Uint64("seed", 0, "repeats an earlier output")
	resume    = flag.Bool("resume", false, "continue when the server shuts down")
)

func pointer[T any](value T) *T { return &value }

func makeRequest(prompt string) *rwkv.GenerateRequest {
	request := &rwkv.GenerateRequest{
		Prompt:    &rwkv.Input{Input: &rwkv.Input_Text{Text: prompt}},
		MaxTokens: pointer(int32(*maxTokens)),
		Sampling: &rwkv.Sampling{
			Temperature: pointer(float32(1)), TopP: pointer(float32(0.5))},
	}
	if *seed != 0 {
		request.Sampling.Seed = seed
	}
	return request
}

// Prints the output while it is generated. Returns its finish, or nil if this
// client has cancelled the call.
func stream(generation *rwkvd.Generation, cancel func()) (*rwkv.Finish, error) {
	var finish *rwkv.Finish
	for received := 0; ; {
		response, err := generation.Recv()
		if err == io.EOF {
			fmt.Println()
			return finish, nil
		} else if err != nil {
			return nil, err
		}
		if got := response.GetFinish(); got != nil {
			finish = got
		}
		// The text has whole characters, the bytes are the raw output.
		delta := response.GetDelta()
		fmt.Print(delta.GetText() + response.GetFinish().GetText())
		received += len(delta.GetBytes())
		if *stopAfter > 0 && received >= *stopAfter {
			cancel() // frees the slot at once
			fmt.Println()
			return nil, nil
		}
	}
}

// The name of a code of gRPC as in the contract: "NotFound" is NOT_FOUND.
func nameOf(err error) string {
	var name strings.Builder
	for i, letter := range status.Code(err).String() {
		if i > 0 && 'A' <= letter && letter <= 'Z' {
			name.WriteByte('_')
		}
		name.WriteRune(letter)
	}
	return strings.ToUpper(name.String())
}

// Prints what a program can rely on in addition to the message.
func report(err error) {
	details := rwkvd.DetailsOf(err)
	fmt.Fprintf(os.Stderr, "%s: %s\n", nameOf(err), status.Convert(err).Message())
	if details.Reason != "" {
		fmt.Fprintln(os.Stderr, "reason:", details.Reason)
	}
	for _, violation := range details.FieldViolations {
		fmt.Fprintln(os.Stderr, "field:", violation.Field)
	}
	if details.Quota != "" {
		fmt.Fprintln(os.Stderr, "limit:", details.Quota)
	}
}

func run(prompt string) int {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	interrupted := ctx
	defer cancel()
	if *deadline > 0 {
		time := time.Duration(*deadline * float64(time.Second))
		var cancelDeadline context.CancelFunc
		ctx, cancelDeadline = context.WithTimeout(ctx, time)
		defer cancelDeadline()
	}
	client, err := connection.Dial()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer client.Close()
	generation, err := client.Generate(ctx, makeRequest(prompt), rwkvd.Options{Resume: *resume})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	finish, err := stream(generation, cancel)
	switch {
	case err != nil && interrupted.Err() != nil:
		return 130
	case err != nil:
		report(err)
		return 1
	case finish == nil:
		fmt.Fprintln(os.Stderr, "cancelled")
	default:
		fmt.Fprintf(os.Stderr, "%s, %d tokens, seed %d\n",
			finish.Reason, finish.Usage.GetGeneratedTokens(), finish.Seed)
	}
	return 0
}

func main() {
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: complete [flags] PROMPT")
		flag.PrintDefaults()
		os.Exit(2)
	}
	os.Exit(run(flag.Arg(0)))
}
