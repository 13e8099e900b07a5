// A server of OpenAI's API that has nothing in common with the built-in one but that API: another language, another
// HTTP, another order of the stream. It has no model in it: it says what it was given and what it was asked.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	listen = flag.String("listen", ":8080", "address to listen at")
	model  = flag.String("model", "", "file of the model")
	name   = flag.String("served-model-name", "", "name of the model")
	tokens = flag.Int("max-model-len", 0, "tokens of context")
	loaded atomic.Bool
)

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type request struct {
	Model    string    `json:"model"`
	Messages []message `json:"messages"`
	Stream   bool      `json:"stream"`
}

func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": text, "code": status}})
}

func models(w http.ResponseWriter, _ *http.Request) {
	if !loaded.Load() {
		refuse(w, http.StatusServiceUnavailable, "the model is being loaded")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"object": "list", "data": []any{
		map[string]any{"id": *name, "object": "model", "owned_by": "somebody else"},
	}})
}

func complete(size int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var asked request
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || len(asked.Messages) == 0 {
			refuse(w, http.StatusBadRequest, "no messages")
			return
		}
		if asked.Model != *name {
			refuse(w, http.StatusNotFound, fmt.Sprintf("there is no model %q", asked.Model))
			return
		}
		if !asked.Stream {
			refuse(w, http.StatusBadRequest, "only streams")
			return
		}
		answer := fmt.Sprintf("%s: %s of %d bytes with %d tokens heard: %s", os.Getenv("GREETING"), *name, size,
			*tokens, asked.Messages[len(asked.Messages)-1].Content)
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		send := func(choices []any) {
			event, _ := json.Marshal(map[string]any{"object": "chat.completion.chunk", "model": *name, "choices": choices})
			fmt.Fprintf(w, "data: %s\r\n\r\n", event)
			w.(http.Flusher).Flush()
		}
		choice := func(delta map[string]any, reason any) []any {
			return []any{map[string]any{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": nil}}
		}
		fmt.Fprint(w, ": a comment\r\n\r\n")
		send(choice(map[string]any{"role": "assistant", "content": nil}, nil))
		for _, word := range strings.SplitAfter(answer, " ") {
			send(choice(map[string]any{"content": word}, nil))
			time.Sleep(10 * time.Millisecond)
		}
		send(choice(map[string]any{}, "stop"))
		send([]any{})
		fmt.Fprint(w, "data: [DONE]\r\n\r\n")
	}
}

func main() {
	flag.Parse()
	if os.Getenv("TOKEN") == "" {
		fmt.Fprintln(os.Stderr, "TOKEN must be set")
		os.Exit(1)
	}
	file, err := os.Stat(*model)
	if err != nil {
		fmt.Fprintln(os.Stderr, "failed to read the model:", err)
		os.Exit(1)
	}
	http.HandleFunc("GET /v1/models", models)
	http.HandleFunc("POST /v1/chat/completions", complete(file.Size()))
	server := &http.Server{Addr: *listen}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	go func() {
		time.Sleep(time.Second) // as if there were something to load
		loaded.Store(true)
		<-ended
		server.Shutdown(context.Background())
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		fmt.Fprintln(os.Stderr, "failed to serve:", err)
		os.Exit(1)
	}
}
