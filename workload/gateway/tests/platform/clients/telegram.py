"""Answers messages by python-telegram-bot: telegram.py HOST:PORT"""

import sys

sys.path.pop(0)  # This file has the name of the package.

from telegram.ext import Application, MessageHandler, filters  # noqa: E402


async def listen(update, context):
    await update.message.reply_text("answer to " + update.message.text)


application = Application.builder().token("77:token").base_url(f"http://{sys.argv[1]}/bot").build()
application.add_handler(MessageHandler(filters.TEXT, listen))
application.run_polling(timeout=5)
