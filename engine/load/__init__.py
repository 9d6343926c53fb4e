"""Load: mails sent to a milter or an SMTP server, timed as their senders see it.

mails     what is sent                  milter, smtp   one conversation each, sans-IO
timing    when, and how long it took    drive          many conversations in one loop
idle      connections that only stand   crew           several processes, one outcome
history   runs kept and compared        report         tables for people
"""
