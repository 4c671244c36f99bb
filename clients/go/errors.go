// SPDX-License-Identifier: Apache-2.0

package rwkvd

import (
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const pushbackKey = "grpc-retry-pushback-ms"

// ErrorDetails is what an error of the server says in addition to its code and
// message. Fields are empty where the server has sent nothing.
type ErrorDetails struct {
	Reason          string // such as "QUEUE_FULL"; stable, unlike the message
	Domain          string
	Metadata        map[string]string
	FieldViolations []*errdetails.BadRequest_FieldViolation
	Quota           string // the limit that was reached, such as "max_queued"
	ResourceType    string // what an error NotFound is about
	ResourceName    string
	// The time after which the server wants the request again. Nil if it did
	// not say; negative if it does not want it again.
	RetryDelay *time.Duration
}

// DetailsOf decodes the details of an error of a call.
func DetailsOf(err error) ErrorDetails {
	var details ErrorDetails
	for _, detail := range status.Convert(err).Details() {
		switch message := detail.(type) {
		case *errdetails.ErrorInfo:
			details.Reason, details.Domain = message.Reason, message.Domain
			details.Metadata = message.Metadata
		case *errdetails.BadRequest:
			details.FieldViolations = message.FieldViolations
		case *errdetails.RetryInfo:
			delay := message.RetryDelay.AsDuration()
			details.RetryDelay = &delay
		case *errdetails.QuotaFailure:
			if len(message.Violations) > 0 {
				details.Quota = message.Violations[0].Subject
			}
		case *errdetails.ResourceInfo:
			details.ResourceType = message.ResourceType
			details.ResourceName = message.ResourceName
		}
	}
	return details
}

// The delay in gRPC's own header, which takes precedence over RetryInfo. What is
// no number of milliseconds forbids retries.
func retryDelay(err error, trailer metadata.MD) *time.Duration {
	values := trailer.Get(pushbackKey)
	if len(values) == 0 {
		return DetailsOf(err).RetryDelay
	}
	delay := time.Duration(-1)
	if number, failed := strconv.ParseUint(values[0], 10, 31); failed == nil {
		delay = time.Duration(number) * time.Millisecond
	}
	return &delay
}
