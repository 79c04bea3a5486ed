# vampnet as a service.   docker build -t vampnet .   docker run -p 8000:8000 -v vampnet-data:/data vampnet
# The plain torch wheel brings the CUDA libraries (several GB; docker run --gpus all). For a small CPU image name PyTorch's
# CPU index: docker build --build-arg TORCH="torch --index-url ADDRESS" .
FROM python:3.11-slim
ARG TORCH="torch"
RUN useradd --create-home --uid 1000 vampnet && mkdir /data && chown vampnet /data
WORKDIR /app
# Versions are those of pyproject.toml and of the build argument.
# hadolint ignore=DL3013
RUN pip install --no-cache-dir ${TORCH}
COPY pyproject.toml README.md LICENSE ./
COPY docs docs
COPY vampnet vampnet
COPY synthcorpus synthcorpus
# hadolint ignore=DL3013
RUN pip install --no-cache-dir ".[studio,formats]"
USER 1000
ENV OMP_WAIT_POLICY=PASSIVE
VOLUME /data
EXPOSE 8000
CMD ["vampnet", "serve", "--host", "0.0.0.0", "--port", "8000", "--data", "/data"]
