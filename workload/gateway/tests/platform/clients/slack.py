"""Answers messages by Slack's own client: slack.py HOST:PORT"""

import sys
import time

from slack_sdk import WebClient
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.response import SocketModeResponse

web = WebClient(token="xoxb-token", base_url=f"http://{sys.argv[1]}/api/")
client = SocketModeClient(app_token="xapp-token", web_client=web)


def listen(client, request):
    client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
    event = request.payload["event"]
    web.chat_postMessage(channel=event["channel"], text="answer to " + event["text"])


client.socket_mode_request_listeners.append(listen)
assert web.auth_test()["user_id"] == "U0BOT"
client.connect()
time.sleep(60)
