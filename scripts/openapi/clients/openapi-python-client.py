"""The client that openapi-python-client makes. Usage: URL PKI-FOLDER"""

import ssl
import sys
import uuid

from lethe_client import Client
from lethe_client.api.data_keys import issue, unwrap
from lethe_client.api.forgetting import shred
from lethe_client import models

url, pki = sys.argv[1:]
context = ssl.create_default_context(cafile=f"{pki}/ca.crt")
context.load_cert_chain(f"{pki}/message-server.crt", f"{pki}/message-server.key")
client = Client(base_url=url, verify_ssl=context)

issued = issue.sync("chat", client=client, body=models.Issue(conversation="python 1"))
assert isinstance(issued, models.IssueAnswer), issued
request = models.Unwrap(conversation="python 1", wrapped_key=issued.wrapped_key)
opened = unwrap.sync("chat", client=client, body=request)
assert isinstance(opened, models.UnwrapAnswer) and opened.data_key == issued.data_key, opened

batch = models.UnwrapBatch(items=[request, models.Unwrap(conversation="python 2", wrapped_key=issued.wrapped_key)])
several = unwrap.sync("chat", client=client, body=batch)
assert isinstance(several, models.UnwrapAnswers), several
assert isinstance(several.items[0], models.UnwrapAnswer), several
assert isinstance(several.items[1], models.ItemError), several
assert several.items[1].error.code == models.Code.INVALID_WRAPPED_KEY, several

body = models.Shred(conversation="python 1", id=uuid.uuid4())
gone = shred.sync("chat", client=client, body=body)
assert isinstance(gone, models.ForgetAnswer) and gone.state == "destroyed", gone
assert isinstance(gone.receipt.item, models.ShredRecord), gone.receipt
assert gone.opening.conversation == "python 1", gone.opening

refused = unwrap.sync_detailed("chat", client=client, body=request)
assert refused.status_code == 410 and isinstance(refused.parsed, models.Problem), refused
assert refused.parsed.code == models.Code.SHREDDED, refused.parsed
