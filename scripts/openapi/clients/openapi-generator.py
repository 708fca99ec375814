"""The Python client that openapi-generator makes. Usage: URL PKI-FOLDER"""

import sys
import uuid

import openapi_client as lethe

url, pki = sys.argv[1:]
configuration = lethe.Configuration(host=url, ssl_ca_cert=f"{pki}/ca.crt")
configuration.cert_file = f"{pki}/message-server.crt"
configuration.key_file = f"{pki}/message-server.key"

with lethe.ApiClient(configuration) as connection:
    keys, forgetting = lethe.DataKeysApi(connection), lethe.ForgettingApi(connection)

    def unwrap(request):
        return keys.unwrap("chat", lethe.UnwrapRequest(request)).actual_instance

    issued = keys.issue("chat", lethe.IssueRequest(lethe.Issue(conversation="generator 1")))
    issued = getattr(issued, "actual_instance", issued)
    assert isinstance(issued, lethe.IssueAnswer), issued
    request = lethe.Unwrap(conversation="generator 1", wrapped_key=issued.wrapped_key)
    opened = unwrap(request)
    assert isinstance(opened, lethe.UnwrapAnswer) and opened.data_key == issued.data_key, opened

    other = lethe.Unwrap(conversation="generator 2", wrapped_key=issued.wrapped_key)
    several = [item.actual_instance for item in unwrap(lethe.UnwrapBatch(items=[request, other])).items]
    assert isinstance(several[0], lethe.UnwrapAnswer), several
    assert isinstance(several[1], lethe.ItemError), several
    assert several[1].error.code == lethe.Code.INVALID_WRAPPED_KEY, several

    body = lethe.ShredRequest(lethe.Shred(conversation="generator 1", id=uuid.uuid4()))
    gone = forgetting.shred("chat", body).actual_instance
    assert isinstance(gone, lethe.ForgetAnswer) and gone.state == "destroyed", gone
    assert isinstance(gone.receipt.item.actual_instance, lethe.ShredRecord), gone.receipt
    assert gone.opening.conversation == "generator 1", gone.opening

    try:
        raise SystemExit(f"what was shredded opens: {unwrap(request)}")
    except lethe.exceptions.ApiException as refused:
        assert refused.status == 410 and isinstance(refused.data, lethe.Problem), refused
        assert refused.data.code == lethe.Code.SHREDDED, refused.data
