package maestro

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	maestrov1 "maestro.example/go/maestro/v1"
)

func TestAStreamThatHasNotBegunIsTriedAgainWithTheKey(t *testing.T) {
	var keys []string
	client, ctx := served(t, func(stream grpc.ServerStreamingServer[maestrov1.ChatEvent]) error {
		sent, _ := metadata.FromIncomingContext(stream.Context())
		keys = append(keys, sent.Get("authorization")...)
		if len(keys) < 3 {
			stream.SetTrailer(metadata.Pairs("grpc-retry-pushback-ms", "1"))
			return status.Error(codes.Unavailable, "later")
		}
		return stream.Send(&maestrov1.ChatEvent{Sequence: 1})
	})
	stream, err := client.Chat.StreamChat(ctx, hello())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the end is io.EOF, not %v", err)
	}
	if !slices.Equal(keys, []string{"Bearer k", "Bearer k", "Bearer k"}) {
		t.Errorf("keys: %v", keys)
	}
}

func TestAStreamThatHasBegunIsNeverTriedAgain(t *testing.T) {
	calls := 0
	client, ctx := served(t, func(stream grpc.ServerStreamingServer[maestrov1.ChatEvent]) error {
		calls++
		if err := stream.Send(&maestrov1.ChatEvent{Sequence: 1}); err != nil {
			return err
		}
		return status.Error(codes.Unavailable, "gone")
	})
	stream, err := client.Chat.StreamChat(ctx, hello())
	if err != nil {
		t.Fatal(err)
	}
	_, err = Fold(stream)
	expectCode(t, err, codes.Unavailable)
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

func TestABareStatusStillHasItsRequestID(t *testing.T) {
	client, ctx := served(t, func(stream grpc.ServerStreamingServer[maestrov1.ChatEvent]) error {
		stream.SetTrailer(metadata.Pairs("x-request-id", "r1"))
		return status.Error(codes.ResourceExhausted, "too much")
	})
	stream, err := client.Chat.StreamChat(ctx, hello())
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	if failed := expectCode(t, err, codes.ResourceExhausted); failed.RequestID != "r1" || failed.Reason != "" {
		t.Errorf("%+v", failed)
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("status.Code does not know %v", err)
	}
}

// double is a gateway that streams what its function says.
type double struct {
	maestrov1.UnimplementedChatServiceServer
	stream func(grpc.ServerStreamingServer[maestrov1.ChatEvent]) error
}

func (d double) StreamChat(_ *maestrov1.ChatRequest, stream grpc.ServerStreamingServer[maestrov1.ChatEvent]) error {
	return d.stream(stream)
}

// served is a client of a double in this process, and five seconds to talk to it.
func served(
	t *testing.T, stream func(grpc.ServerStreamingServer[maestrov1.ChatEvent]) error,
) (*Client, context.Context) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	maestrov1.RegisterChatServiceServer(server, double{stream: stream})
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	client, err := New(WithAddress(listener.Addr().String()), WithKey("k"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	t.Cleanup(cancel)
	return client, ctx
}
