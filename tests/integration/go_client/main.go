// SPDX-License-Identifier: Apache-2.0

// A client of ending_test: calls the servers behind a name until its standard
// input is closed, as ending_client.py does.
//
//	ending-client TARGET SHORT ENDLESS
//
// SHORT and ENDLESS are serialized requests of Generate, in hexadecimal digits;
// so it needs no generated code. Prints one line of JSON for each call.
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"log"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/resolver/dns"
	"google.golang.org/grpc/status"
)

const (
	numShort   = 4 // calls at a time
	numEndless = 2
	pause      = 5 * time.Millisecond // between the short calls of a goroutine
	method     = "/rwkv.v1.RwkvService/Generate"
	config     = `{"loadBalancingConfig": [{"round_robin": {}}]}`
)

// Messages are slices of bytes.
type bytesCodec struct{}

func (bytesCodec) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (bytesCodec) Name() string                  { return "proto" }
func (bytesCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

type result struct {
	Kind    string  `json:"kind"`
	Code    string  `json:"code"`
	Message string  `json:"message"`
	Server  string  `json:"server"` // its address
	End     float64 `json:"end"`    // seconds since the program started
}

var (
	begin = time.Now()
	lock  sync.Mutex
	lines = json.NewEncoder(os.Stdout)
)

// Makes one call and reads its messages to the end.
func generate(conn *grpc.ClientConn, request []byte, server *peer.Peer) error {
	description := &grpc.StreamDesc{ServerStreams: true}
	stream, err := conn.NewStream(context.Background(), description, method,
		grpc.ForceCodec(bytesCodec{}), grpc.Peer(server))
	if err != nil {
		return err
	}
	if err = stream.SendMsg(request); err != nil && err != io.EOF {
		return err
	}
	if err = stream.CloseSend(); err != nil {
		return err
	}
	for {
		var message []byte
		if err = stream.RecvMsg(&message); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func repeat(conn *grpc.ClientConn, kind string, request []byte) {
	for {
		var server peer.Peer
		err := generate(conn, request, &server)
		got := result{Kind: kind, End: time.Since(begin).Seconds()}
		got.Code = status.Code(err).String()
		if err != nil {
			got.Message = status.Convert(err).Message()
		}
		if server.Addr != nil {
			got.Server = server.Addr.String()
		}
		lock.Lock()
		lines.Encode(got)
		lock.Unlock()
		time.Sleep(pause)
	}
}

func decode(digits string) []byte {
	request, err := hex.DecodeString(digits)
	if err != nil {
		log.Fatal(err)
	}
	return request
}

func main() {
	dns.SetMinResolutionInterval(time.Second)
	conn, err := grpc.NewClient(os.Args[1],
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(config))
	if err != nil {
		log.Fatal(err)
	}
	short, endless := decode(os.Args[2]), decode(os.Args[3])
	for i := 0; i < numShort; i++ {
		go repeat(conn, "short", short)
	}
	for i := 0; i < numEndless; i++ {
		go repeat(conn, "endless", endless)
	}
	io.Copy(io.Discard, os.Stdin)
}
