// SPDX-License-Identifier: Apache-2.0

package rwkvd

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"rwkvd-client/rwkv"
)

// Options of a generation.
type Options struct {
	// The server suspends the request when it shuts down, and this client
	// resumes it on the server that it then connects to, which must serve the
	// same model. No token is lost or repeated. Only for one sample.
	Resume bool
}

// Generation is a Generate call. It ends with its context.
type Generation struct {
	client   *Client
	ctx      context.Context
	request  *rwkv.GenerateRequest
	resume   bool
	attempts *attempts
	stream   rwkv.RwkvService_GenerateClient // nil: to be started
	received bool                            // something, from the current stream
	end      end
	ready    []*rwkv.GenerateResponse // to be returned next
	err      error                    // to be returned after these
}

// Generate continues a prompt.
func (c *Client) Generate(ctx context.Context, request *rwkv.GenerateRequest, options Options) (*Generation, error) {
	request = proto.Clone(request).(*rwkv.GenerateRequest)
	if options.Resume {
		if request.GetN() > 1 || request.GetBestOf() > 1 {
			return nil, errors.New("resume: only requests for one sample resume")
		}
		if request.ReturnState == nil {
			request.ReturnState = &rwkv.ReturnState{}
		}
		request.ReturnState.OnDrain = true
	}
	return &Generation{client: c, ctx: ctx, request: request,
		resume: options.Resume, attempts: newAttempts(maxAttempts)}, nil
}

// Recv returns the next response, or io.EOF after the last one.
func (g *Generation) Recv() (*rwkv.GenerateResponse, error) {
	for len(g.ready) == 0 && g.err == nil {
		g.err = g.advance()
	}
	if len(g.ready) == 0 {
		return nil, g.err
	}
	next := g.ready[0]
	g.ready = g.ready[1:]
	return next, nil
}

// Receives one response, or the end of the current stream.
func (g *Generation) advance() error {
	if g.stream == nil {
		stream, err := g.client.Stub.Generate(g.ctx, g.request)
		if err != nil {
			return g.attempts.waitAfter(g.ctx, err, nil)
		}
		g.stream, g.received, g.end = stream, false, end{}
	}
	response, err := g.stream.Recv()
	switch {
	case err == nil:
		g.take(response)
		return nil
	case err == io.EOF:
		g.ready = append(g.ready, g.end.responses...)
		return err
	}
	return g.afterError(err, g.stream.Trailer())
}

func (g *Generation) take(response *rwkv.GenerateResponse) {
	g.received = true
	if g.resume && g.end.take(response) {
		return
	}
	g.ready = append(append(g.ready, g.end.responses...), response)
	g.end = end{}
}

// Starts the next stream, or returns the error.
func (g *Generation) afterError(err error, trailer metadata.MD) error {
	g.stream = nil
	if g.end.isSuspended(err) {
		g.ready = append(g.ready, g.end.output()...)
		return g.continueFromEnd()
	}
	g.ready = append(g.ready, g.end.responses...)
	if g.received {
		return err
	}
	return g.attempts.waitAfter(g.ctx, err, trailer)
}

// Changes the request to one that resumes. The next server may still be
// starting, so time alone bounds the attempts.
func (g *Generation) continueFromEnd() error {
	g.attempts = newAttempts(-1)
	g.attempts.deadline = time.Now().Add(resumeWithin)
	handle := g.end.finish().GetState().GetHandle()
	if handle == "" {
		var err error
		handle, err = g.client.storeState(g.ctx, g.end.state(), g.attempts)
		if err != nil {
			return err
		}
	}
	g.request.Prompt = nil
	g.request.StateHandle = handle
	g.request.Resume = true
	return nil
}

// The last responses of a generation, which its server may have suspended: then
// they are not the end for the client.
type end struct {
	responses []*rwkv.GenerateResponse
}

// Takes the response if it may belong to a suspension.
func (e *end) take(response *rwkv.GenerateResponse) bool {
	if response.GetStateChunk() == nil &&
		response.GetFinish().GetReason() != rwkv.FinishReason_FINISH_REASON_CANCELLED {
		return false
	}
	e.responses = append(e.responses, response)
	return true
}

func (e *end) finish() *rwkv.Finish {
	if len(e.responses) == 0 {
		return nil
	}
	return e.responses[len(e.responses)-1].GetFinish()
}

func (e *end) state() []byte {
	var state []byte
	for _, response := range e.responses {
		state = append(state, response.GetStateChunk().GetData()...)
	}
	return state
}

func (e *end) isSuspended(err error) bool {
	return status.Code(err) == codes.Unavailable && e.finish().GetState() != nil
}

// The output in the finish, as a delta.
func (e *end) output() []*rwkv.GenerateResponse {
	finish := e.finish()
	if len(finish.GetBytes()) == 0 {
		return nil
	}
	delta := &rwkv.Delta{Bytes: finish.Bytes, Text: finish.Text, Sample: finish.Sample}
	return []*rwkv.GenerateResponse{
		{Event: &rwkv.GenerateResponse_Delta{Delta: delta}}}
}
