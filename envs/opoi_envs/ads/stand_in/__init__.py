"""The embedded model: it reads its request, judges by the playbook and writes."""
