// SPDX-License-Identifier: Apache-2.0

// Package connection connects the examples to a server, with or without TLS and
// a token. It defines their flags for it.
package connection

import (
	"flag"
	"os"
	"strings"

	"google.golang.org/grpc"

	rwkvd "rwkvd-client"
)

var (
	server    = flag.String("server", "127.0.0.1:50051", "`host:port`")
	tlsCA     = flag.String("tls-ca", "", "use TLS; `file` of who may have issued the server's certificate")
	tlsCert   = flag.String("tls-cert", "", "`file` of this client's certificate")
	tlsKey    = flag.String("tls-key", "", "`file` of its private key")
	tokenFile = flag.String("token-file", "", "`file` with the token for a server with --auth_tokens")
)

// Dial connects to the server that the flags name.
func Dial() (*rwkvd.Client, error) {
	var options []grpc.DialOption
	if *tlsCA != "" {
		option, err := rwkvd.WithTLS(*tlsCA, *tlsCert, *tlsKey)
		if err != nil {
			return nil, err
		}
		options = append(options, option)
	}
	if *tokenFile != "" {
		token, err := os.ReadFile(*tokenFile)
		if err != nil {
			return nil, err
		}
		options = append(options, rwkvd.WithToken(strings.TrimSpace(string(token))))
	}
	return rwkvd.Dial(*server, options...)
}
