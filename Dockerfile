# docker build -t hashpipe .
# Without a GPU: --build-arg TORCH_INDEX=ADDRESS, the CPU wheel index that PyTorch's install page shows.
FROM python:3.12-slim
ARG TORCH_INDEX
RUN apt-get update && \
    apt-get install -y --no-install-recommends libgl1 libx11-6 libgomp1 libudev1 && \
    rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir torch torchvision ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
COPY pyproject.toml README.md LICENSE /src/
COPY hashpipe /src/hashpipe
COPY pairgen /src/pairgen
COPY hashing /src/hashing
COPY cli /src/cli
COPY data_manifests /src/data_manifests
RUN pip install --no-cache-dir '/src[onnx,serve,heif]'
ENV HASHPIPE_WORKSPACE=/workspace
ENTRYPOINT ["hashpipe"]
