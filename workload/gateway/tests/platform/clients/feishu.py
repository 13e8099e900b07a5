"""Answers messages by Lark's own client: feishu.py HOST:PORT"""

import json
import sys

import lark_oapi as lark
from lark_oapi.api.im.v1 import CreateMessageRequest, CreateMessageRequestBody

domain = f"http://{sys.argv[1]}"
api = lark.Client.builder().app_id("cli_1").app_secret("token").domain(domain).build()


def listen(data):
    message = data.event.message
    text = "answer to " + json.loads(message.content)["text"]
    body = (
        CreateMessageRequestBody.builder()
        .receive_id(message.chat_id)
        .msg_type("text")
        .content(json.dumps({"text": text}))
        .build()
    )
    request = CreateMessageRequest.builder().receive_id_type("chat_id").request_body(body).build()
    assert api.im.v1.message.create(request).success()


handler = lark.EventDispatcherHandler.builder("", "").register_p2_im_message_receive_v1(listen).build()
lark.ws.Client("cli_1", "token", event_handler=handler, domain=domain).start()
