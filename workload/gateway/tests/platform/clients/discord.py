"""Answers messages by discord.py: discord.py HOST:PORT"""

import sys

sys.path.pop(0)  # This file has the name of the package.

import discord  # noqa: E402
import yarl  # noqa: E402

discord.http.Route.BASE = f"http://{sys.argv[1]}/api"
discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(f"ws://{sys.argv[1]}/gateway/")
intents = discord.Intents.default()
intents.message_content = True
client = discord.Client(intents=intents)


@client.event
async def on_message(message):
    await message.channel.send("answer to " + message.content)


client.run("token")
