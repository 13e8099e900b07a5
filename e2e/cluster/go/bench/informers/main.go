// Keeps in memory what the operator has to see, as most operators do: client-go's informers, whole objects of each
// kind, of the whole cluster. It decides nothing and writes nothing: its memory and the time until its caches are
// filled are the least that an operator built on them takes. KUBECONFIG names the cluster.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return fmt.Errorf("failed to read the kubeconfig: %w", err)
	}
	resources, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("failed to prepare a client: %w", err)
	}
	compact := rest.CopyConfig(config)
	compact.ContentType = "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(compact)
	if err != nil {
		return fmt.Errorf("failed to prepare a client: %w", err)
	}

	typed := informers.NewSharedInformerFactory(client, 10*time.Hour)
	untyped := dynamicinformer.NewDynamicSharedInformerFactory(resources, 10*time.Hour)
	caches := []cache.SharedIndexInformer{
		typed.Core().V1().ConfigMaps().Informer(),
		typed.Core().V1().Services().Informer(),
		typed.Core().V1().Pods().Informer(),
		typed.Networking().V1().NetworkPolicies().Informer(),
		typed.Networking().V1().Ingresses().Informer(),
		typed.Policy().V1().PodDisruptionBudgets().Informer(),
		typed.Apps().V1().Deployments().Informer(),
		typed.Autoscaling().V2().HorizontalPodAutoscalers().Informer(),
		untyped.ForResource(schema.GroupVersionResource{
			Group: "chatbot.dev", Version: "v1alpha1", Resource: "chatbotclusters",
		}).Informer(),
	}
	typed.Start(ctx.Done())
	untyped.Start(ctx.Done())
	for _, filled := range caches {
		if !cache.WaitForCacheSync(ctx.Done(), filled.HasSynced) {
			return fmt.Errorf("failed to fill a cache")
		}
	}
	objects := 0
	for _, filled := range caches {
		objects += len(filled.GetStore().ListKeys())
	}
	fmt.Println("synced", objects)
	select {}
}
