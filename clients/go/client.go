// SPDX-License-Identifier: Apache-2.0

// Package rwkvd is a client of rwkvd, a gRPC server for RWKV language models:
// calls that are repeated when the server asks for it, and generations that
// continue on another server when theirs shuts down.
package rwkvd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/rand"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"rwkvd-client/rwkv"
)

const (
	// How many times a request is sent at most.
	maxAttempts = 6
	// How long a generation that is to resume waits for a server.
	resumeWithin = time.Minute
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 5 * time.Second
	chunkBytes   = 1 << 20 // of a state, in one message
)

// Client is a connection to rwkvd. It may be used by several goroutines.
type Client struct {
	Stub rwkv.RwkvServiceClient // the methods of the contract
	conn *grpc.ClientConn
}

// Dial makes a client of the server at an address such as "127.0.0.1:50051".
// The connection has no TLS unless an option sets credentials of the transport.
func Dial(target string, options ...grpc.DialOption) (*Client, error) {
	plain := grpc.WithTransportCredentials(insecure.NewCredentials())
	conn, err := grpc.NewClient(target, append([]grpc.DialOption{plain}, options...)...)
	if err != nil {
		return nil, err
	}
	return &Client{Stub: rwkv.NewRwkvServiceClient(conn), conn: conn}, nil
}

// A token that goes into the metadata of each call.
type token string

func (t token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(t)}, nil
}

// The connection may be encrypted by something else than gRPC.
func (token) RequireTransportSecurity() bool { return false }

// WithToken is an option of Dial for a server with --auth_tokens. Send tokens
// through encrypted connections only.
func WithToken(value string) grpc.DialOption {
	return grpc.WithPerRPCCredentials(token(value))
}

// WithTLS is an option of Dial for a server with TLS. The files are in PEM form:
// the certificates of those who may have issued the server's, and this client's
// own certificate and its private key, which are empty if the server needs none.
func WithTLS(ca, cert, key string) (grpc.DialOption, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", ca)
	}
	if cert != "" {
		own, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{own}
	}
	return grpc.WithTransportCredentials(credentials.NewTLS(config)), nil
}

// Close ends the connection and its calls.
func (c *Client) Close() error { return c.conn.Close() }

// Decides whether and when a request is sent again.
type attempts struct {
	left     int       // negative: only the time bounds them
	deadline time.Time // zero: none
	backoff  time.Duration
}

func newAttempts(most int) *attempts {
	return &attempts{left: most, backoff: firstBackoff}
}

// Whether the error is temporary: the server is overloaded, not ready, or
// shutting down. A limit that rwkvd reports without a time to retry would refuse
// the request again, possibly after computing all of it.
func mayBeRepeated(err error, trailer metadata.MD) bool {
	code := status.Code(err)
	if code == codes.ResourceExhausted {
		return retryDelay(err, trailer) != nil || DetailsOf(err).Reason == ""
	}
	return code == codes.Unavailable
}

func (a *attempts) delay(err error, trailer metadata.MD) time.Duration {
	if delay := retryDelay(err, trailer); delay != nil {
		return *delay
	}
	delay := time.Duration((0.8 + 0.4*rand.Float64()) * float64(a.backoff))
	if a.backoff *= 2; a.backoff > maxBackoff {
		a.backoff = maxBackoff
	}
	return delay
}

// Waits until the request is to be sent again. Returns the error if the server
// does not want that, or there is no attempt or time left.
func (a *attempts) waitAfter(ctx context.Context, err error, trailer metadata.MD) error {
	a.left--
	delay := a.delay(err, trailer)
	end := time.Now().Add(delay)
	deadline, limited := ctx.Deadline()
	switch {
	case !mayBeRepeated(err, trailer),
		a.left == 0, delay < 0,
		limited && end.After(deadline),
		!a.deadline.IsZero() && end.After(a.deadline):
		return err
	}
	select {
	case <-time.After(delay):
		return nil
	case <-ctx.Done():
		return err
	}
}

// Retry makes a unary call, such as client.Stub.Score, and sends the request
// again if the server is overloaded or not ready.
func Retry[Request, Response any](ctx context.Context,
	method func(context.Context, Request, ...grpc.CallOption) (Response, error),
	request Request) (Response, error) {
	for attempts := newAttempts(maxAttempts); ; {
		var trailer metadata.MD
		response, err := method(ctx, request, grpc.Trailer(&trailer))
		if err == nil {
			return response, nil
		}
		if err = attempts.waitAfter(ctx, err, trailer); err != nil {
			return response, err
		}
	}
}

// Stores a state on the server, and returns its handle.
func (c *Client) storeState(ctx context.Context, state []byte, attempts *attempts) (string, error) {
	for {
		handle, trailer, err := c.sendState(ctx, state)
		if err == nil {
			return handle, nil
		}
		if err = attempts.waitAfter(ctx, err, trailer); err != nil {
			return "", err
		}
	}
}

func (c *Client) sendState(ctx context.Context, state []byte) (string, metadata.MD, error) {
	stream, err := c.Stub.PutState(ctx)
	if err != nil {
		return "", nil, err
	}
	for begin := 0; begin < len(state); begin += chunkBytes {
		end := begin + chunkBytes
		if end > len(state) {
			end = len(state)
		}
		request := &rwkv.PutStateRequest{Data: state[begin:end]}
		if stream.Send(request) != nil {
			break // CloseAndRecv returns the status
		}
	}
	response, err := stream.CloseAndRecv()
	return response.GetState().GetHandle(), stream.Trailer(), err
}
