// The process that holds a pod's namespaces: it waits to be told to end, and collects orphans meanwhile.
#include <signal.h>
#include <sys/wait.h>

int main(void) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, 0);
    for (;;) {
        int received;
        sigwait(&signals, &received);
        if (received != SIGCHLD)
            return 0;
        while (waitpid(-1, 0, WNOHANG) > 0) {
        }
    }
}
